"""Celery's command line for our app: ``python -P -m worker worker -Q cpu``, ``… beat``.

``celery --app worker.celery_app`` does the same, but imports from the current folder first.
"""

import sys

from worker.celery_app import app

if __name__ == "__main__":
    sys.exit(app.start(sys.argv[1:]))
