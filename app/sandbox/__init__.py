"""What a process that opens strangers' files drops before it opens one: network, files, resources.

Shared by the worker's jobs and the process that serves models. Each process applies it to itself.
"""
