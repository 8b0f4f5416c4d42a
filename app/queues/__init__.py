"""Queues and workers: waiting jobs, running jobs, live workers."""
