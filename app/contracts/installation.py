"""Check which extras are installed besides the client, such as ``service`` and ``engine``.

``worker`` is ``service`` and ``engine`` together. This module imports none of their packages.
"""

import importlib
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from typing import Literal

Extra = Literal["service", "engine", "worker", "mcp", "openvino", "ncnn", "executorch", "litert"]

# Packages that indicate an installed extra.
SERVICE_MODULES = ("fastapi", "uvicorn", "celery", "sqlalchemy", "obstore")

# Packages that a worker needs to run jobs, in addition to the service's.
WORKER_MODULES = (
    "torch",
    "torchvision",
    "safetensors",
    "onnx",
    "onnxscript",
    "pyarrow",
    "jinja2",
)


# Distributions with the same module as another one, in its place.
_STAND_INS = {"onnxruntime": "onnxruntime-gpu"}


def installed_version(name: str) -> str:
    """Return the version of a distribution, or of the one that is installed in its place.

    Raises:
        PackageNotFoundError: Neither is installed.
    """
    try:
        return version(name)
    except PackageNotFoundError:
        if name not in _STAND_INS:
            raise
        return version(_STAND_INS[name])


def find_missing(modules: tuple[str, ...] = WORKER_MODULES) -> list[str]:
    """Return the modules that are not installed. Broken ones pass, because none is imported."""
    return [name for name in modules if not _is_there(name)]


def broken_modules(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Import modules; yield each that cannot be imported, with the cause unless it is missing."""
    for name in names:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001  # whatever a broken package raises
            is_missing = isinstance(error, ModuleNotFoundError) and error.name == name
            line = str(error).strip().partition("\n")[0]
            yield name, "" if is_missing else f"{type(error).__name__}: {line}"
            if name == "torch":
                return


def how_to_install(extra: Extra) -> str:
    """Return the command that installs an extra, from the checkout if this runs from one."""
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
