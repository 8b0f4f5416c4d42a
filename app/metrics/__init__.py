"""What Prometheus scrapes at ``/metrics``: of this process, and of the jobs in the database.

No label holds an id or a tenant: their number would grow without bound, and they are nobody's
business.
"""
