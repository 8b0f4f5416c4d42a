"""Logs and traces, without secrets, and the metrics that a process counts by itself."""
