"""A job from the inside: its inputs, its options, its results, and what it reports."""
