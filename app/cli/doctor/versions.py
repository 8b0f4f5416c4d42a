"""Python, and what is installed: against what this distribution says it needs."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from app.cli.doctor.finding import Finding, Status

_DISTRIBUTION = "secateur"
_SERVICE, _ENGINE, _WORKER = "service", "engine", "worker"
_OLDEST_PYTHON = (3, 11)


def check_versions() -> Iterator[Finding]:
    """Look at Python, the requirements of client and API, and those of workers."""
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.version_info < _OLDEST_PYTHON:
        yield Finding("python", Status.FAIL, machine, "install Python 3.11 or newer")
    else:
        yield Finding("python", Status.OK, machine)
    wrong = _unmet("") + _unmet(_SERVICE)
    if wrong:
        advice = f"pip install --upgrade '{_DISTRIBUTION}[{_SERVICE}]'"
        yield Finding("packages", Status.FAIL, "; ".join(wrong), advice)
    else:
        detail = f"{_DISTRIBUTION} {version(_DISTRIBUTION)}, and all that it requires"
        yield Finding("packages", Status.OK, detail)
    wrong = _unmet(_ENGINE)
    if wrong:
        detail = "cannot prune here, only serve and use a service: " + "; ".join(wrong)
        yield Finding("worker", Status.NOTE, detail, f"pip install '{_DISTRIBUTION}[{_WORKER}]'")
    else:
        found = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "onnx"))
        yield Finding("worker", Status.OK, found)


def _unmet(extra: str) -> list[str]:
    """Return which requirements are not met: those of an extra, or those of everybody."""
    found = []
    for line in requires(_DISTRIBUTION) or []:
        requirement = Requirement(line)
        if not _applies(requirement, extra):
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            found.append(f"{requirement.name} is not installed")
            continue
        if not requirement.specifier.contains(installed, prereleases=True):
            found.append(f"{requirement.name} is {installed}, not {requirement.specifier}")
    return found


def _applies(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    if marker is None:
        return not extra
    if extra:  # of the extra, and not of everybody
        return marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})
    return marker.evaluate({"extra": ""})
