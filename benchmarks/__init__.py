"""Measurements, run by hand; results are committed. Nothing here passes or fails on time."""
