"""Check that this machine can run jobs, by importing a worker's modules in a subprocess.

A subprocess, because the API's side must not import torch. An import, because an installed package
may still fail to load: a partial upgrade, a torchvision for another torch, or a missing system
library.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.contracts import installation

SECONDS = 300  # torch from a cold disk, on a machine with other work
_PROBE = """
import json, sys
from app.contracts.installation import broken_modules
print(json.dumps(list(broken_modules(sys.argv[1:]))))
"""


@dataclass(frozen=True)
class BrokenPart:
    """A module that a worker needs but cannot import.

    Attributes:
        name: Name of the module.
        cause: Reason of the failed import. Empty if the module is not installed.
    """

    name: str
    cause: str

    def __str__(self) -> str:
        """Return a short description."""
        if not self.cause:
            return f"{self.name} is not installed"
        return f"{self.name} cannot be imported ({self.cause})"


class Probe:
    """Background process that imports a worker's modules."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # this Python, fixed arguments
            [sys.executable, "-P", "-W", "ignore", "-c", _PROBE, *installation.WORKER_MODULES],
            env={**environment, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self) -> Sequence[BrokenPart]:
        """Wait for the process and return the modules that cannot be imported."""
        try:
            out, err = self._process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            return [BrokenPart("torch", f"importing took more than {SECONDS} s")]
        try:
            return [BrokenPart(*part) for part in json.loads(out.splitlines()[-1])]
        except (ValueError, IndexError):  # the process died: a library crashed
            code = self._process.returncode
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            last = err.strip().rpartition("\n")[2]
            return [BrokenPart("torch", f"importing ended with {how} {last}".strip())]

    def stop(self) -> None:
        """Kill the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def missing_parts() -> Sequence[BrokenPart]:
    """Return the modules that are not installed, without importing any; none besides torch."""
    missing = installation.find_missing()
    return [BrokenPart(name, "") for name in (["torch"] if "torch" in missing else missing)]


def how_to_install(broken: Sequence[BrokenPart]) -> str:
    """Return the advice for modules that cannot be imported."""
    causes = " ".join(part.cause for part in broken)
    if ".so" in causes and "cannot open shared object file" in causes:
        library = next(word for word in causes.split() if ".so" in word).strip(":(")
        return f"install the system package that contains {library} (libgomp.so.1: libgomp1)"
    if any(part.cause for part in broken):
        names = " ".join(sorted({part.name.partition(".")[0] for part in broken} | {"torch"}))
        return f"reinstall them: pip install --upgrade --force-reinstall {names}"
    return installation.how_to_install("worker")
