"""The networks of `benchmarks.networks` as graphs without weights, read in every test run."""
