"""Keys for a job's intermediate results, stable across attempts."""

import hashlib
import json

from worker.messages import JobRequest


def job_key(request: JobRequest, *more: object) -> str:
    """Return a hash of config, model, data set and ``more``."""
    parts = [*request.subject(), *more]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
