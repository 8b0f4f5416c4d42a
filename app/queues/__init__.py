"""Queues and workers: what waits, what runs, and who is there to do it."""
