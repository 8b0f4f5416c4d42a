"""Names of what a job computes, so that a later attempt finds it again."""

import hashlib
import json

from worker.messages import JobRequest


def job_key(request: JobRequest, *more: object) -> str:
    """Return a name that depends on config, model, data, and on ``more``."""
    parts = [*request.subject(), *more]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
