"""Sweeps: one request creates a job per grid point and compares the results."""
