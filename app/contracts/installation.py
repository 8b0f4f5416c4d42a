"""What has to be installed beside the client: the extras ``service``, ``engine`` and ``worker``.

``worker`` is the other two together. Nothing of theirs is imported here.
"""

import json
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from typing import Literal

Extra = Literal["service", "engine", "worker"]

# A few by which the extra is known to be there.
SERVICE_MODULES = ("fastapi", "uvicorn", "celery", "sqlalchemy", "obstore")

# What a worker imports to run jobs, besides the service.
WORKER_MODULES = (
    "torch",
    "torchvision",
    "safetensors",
    "onnx",
    "onnxscript",
    "pyarrow",
    "jinja2",
)


def find_missing(modules: tuple[str, ...] = WORKER_MODULES) -> list[str]:
    """Return which of them are not installed; none is imported, so a broken one is not found."""
    return [name for name in modules if not _is_there(name)]


def how_to_install(extra: Extra) -> str:
    """Return the line that installs an extra: of the checkout if this runs from one."""
    return f"pip install '{_source()}[{extra}]'"


def _source() -> str:
    try:
        url = json.loads(distribution("secateur").read_text("direct_url.json") or "{}")["url"]
    except (PackageNotFoundError, ValueError, KeyError):
        return "secateur"
    path = str(url).removeprefix("file://")
    return path if path != url else "secateur"


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
