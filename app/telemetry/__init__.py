"""Logs and traces, without secrets."""
