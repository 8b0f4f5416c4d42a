"""Version checks: Python and the installed packages against this distribution's requirements."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from app.cli.doctor.finding import Finding, Status
from app.contracts.installation import installed_version

_DISTRIBUTION = "secateur"
_SERVICE, _ENGINE, _WORKER = "service", "engine", "worker"
_OLDEST_PYTHON = (3, 11)


def check_versions() -> Iterator[Finding]:
    """Check Python and the requirements of client, API and workers."""
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
        detail = f"{_DISTRIBUTION} {version(_DISTRIBUTION)} and all its requirements"
        yield Finding("packages", Status.OK, detail)
    wrong = _unmet(_ENGINE)
    if wrong:
        detail = "cannot prune here, only serve models and call a service: " + "; ".join(wrong)
        yield Finding("worker", Status.NOTE, detail, f"pip install '{_DISTRIBUTION}[{_WORKER}]'")
    else:
        found = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "onnx"))
        yield Finding("worker", Status.OK, found)


def _unmet(extra: str) -> list[str]:
    """Return the unmet requirements of an extra, or of the base package for ``""``."""
    found = []
    for line in requires(_DISTRIBUTION) or []:
        requirement = Requirement(line)
        if not _applies(requirement, extra):
            continue
        try:
            installed = installed_version(requirement.name)
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
    if extra:  # requirements of the extra itself, not of the base package
        return marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})
    return marker.evaluate({"extra": ""})
