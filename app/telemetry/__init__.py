"""Logs and traces without secrets, and the metrics of a process."""
