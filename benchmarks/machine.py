"""Description of the machine, stored with every committed result."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("torch", "torchvision", "timm", "torch-pruning", "lightning")


def machine() -> dict[str, Any]:
    """Return the machine, the library versions and the commit of a measurement."""
    return {
        "commit": commit(),
        "processor": _processor(),
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        **{name: _version(name) for name in _PACKAGES},
    }


def commit() -> str | None:
    """Return the commit of this checkout, marked if files other than results differ from it."""
    found = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!benchmarks/results")
    return f"{found}-dirty" if found and changed else found


def _git(*arguments: str) -> str | None:
    try:
        found = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return None
    return found.stdout.strip()


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    found = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(found)} x {found[0]}" if found else platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
