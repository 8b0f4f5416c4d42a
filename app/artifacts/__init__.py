"""Artifacts: immutable files that jobs made."""
