"""What a worker imports to run jobs, besides what everybody has; the extra `worker` brings it."""

from importlib.util import find_spec

WORKER_MODULES = (
    "torch",
    "torchvision",
    "safetensors",
    "onnx",
    "onnxscript",
    "pyarrow",
    "jinja2",
)


def find_missing() -> list[str]:
    """Return which of them are not installed; none is imported, so a broken one is not found."""
    return [name for name in WORKER_MODULES if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
