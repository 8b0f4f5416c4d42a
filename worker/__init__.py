"""The workers: Celery tasks, the supervisor of job processes, and the pipeline."""
