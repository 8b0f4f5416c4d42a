"""Restrictions of processes that open users' files: network, files, resources.

Used by the worker's jobs and by the process that serves models. Each process applies them to
itself.
"""
