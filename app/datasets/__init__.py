"""Data sets: samples and labels with their preprocessing."""
