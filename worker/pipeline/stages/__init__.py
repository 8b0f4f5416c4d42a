"""The stages of a pruning job, one file each, and what they share."""
