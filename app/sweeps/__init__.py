"""Sweeps: one request that makes a job for every point of a grid, and what they add up to."""
