"""Stages of a pruning job, one module per stage."""
