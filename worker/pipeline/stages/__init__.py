"""The stages of a pruning job: one file each, with the name of the stage."""
