"""The real worker with a stub for the module of a job's process.

``celery --app tests.faults.stub_app``: the real composition root, set up after the module was
replaced, as the runner binds it when it is defined.
"""

from worker import supervisor

supervisor.PIPELINE = "tests.faults.stub_pipeline"

from worker.celery_app import app  # noqa: E402  # after the line above

__all__ = ["app"]
