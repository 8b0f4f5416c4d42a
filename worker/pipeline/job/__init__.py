"""Inputs, options, results and messages of one job."""
