"""Artifacts: immutable files made by jobs."""
