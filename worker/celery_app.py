"""The worker's Celery app: ``celery --app worker.celery_app`` needs a module attribute.

So this is the one module that does work at import. Only Celery's command line imports it.
"""

from app.contracts.settings import load_settings
from worker.composition import configure

app = configure(load_settings())
