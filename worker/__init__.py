"""The workers: Celery shells, the supervisor of job processes, the pipeline, the engine."""
