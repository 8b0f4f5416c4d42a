"""Graphs without weights of the networks in `benchmarks.networks`, read in every test run."""
