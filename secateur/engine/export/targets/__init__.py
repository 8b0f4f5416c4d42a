"""Export targets: the runtimes and devices that people ship a pruned network to."""
