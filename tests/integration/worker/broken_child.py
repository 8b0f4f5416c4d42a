"""A job's module that cannot be imported; the environment chooses the error."""

import ctypes
import importlib
import os


def main(_path: object, _events: int) -> int:
    """Never called, because the import fails."""
    return 0


kind = os.environ.get("LC_ALL")  # one of the few names that a server is handed
if kind == "missing":
    importlib.import_module("onnx_that_is_not_there")
elif kind == "library":
    ctypes.CDLL("libgomp_that_is_not_there.so.1")
elif kind == "mismatch":
    raise RuntimeError("operator torchvision::nms does not exist\nand more lines")
elif kind == "half":
    from json import nothing  # type: ignore[attr-defined]  # noqa: F401
elif kind == "crash":
    os.abort()
