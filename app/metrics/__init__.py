"""Prometheus metrics at ``/metrics``, of this process and of the jobs in the database.

No label holds an id or a tenant: their number is unbounded, and they are private.
"""
