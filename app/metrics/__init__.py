"""Prometheus metrics at ``/metrics``, of this process and of the jobs in the database.

No label holds an id or a tenant: these are unbounded in number, and private.
"""
