"""What operators see and do: workers, queues and tenants of the whole service.

It needs the scope ``operator``, which ``admin`` does not include.
"""
