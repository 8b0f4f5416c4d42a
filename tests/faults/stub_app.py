"""The worker as it is, but for the command of a job's process.

``celery --app tests.faults.stub_app``: the real composition root, set up after the command was
replaced, as the runner binds it when it is defined.
"""

import sys
from pathlib import Path

from worker import supervisor

# Isolated and without site-packages: half the time of a start.
_STUB = str(Path(__file__).with_name("stub_pipeline.py"))
supervisor.PIPELINE = (sys.executable, "-I", "-S", _STUB)

from worker.celery_app import app  # noqa: E402  # after the line above

__all__ = ["app"]
