"""``python -m app.sandbox``: apply the sandbox, print the rungs that were granted, and exit."""

import json
import sys

from app.sandbox.isolation import isolate
from app.sandbox.needs import Needs

sys.stdout.write(json.dumps(isolate([], Needs())))
