"""Scripts that a user runs: train a dense network, export it, prune it over HTTP."""
