"""One training run: its length, its learning rate, its checkpoints; and the baselines' runs."""
