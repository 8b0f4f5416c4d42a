"""Training runs: length, learning rate, checkpoints, and the runs of the baselines."""
