"""Whether this machine can run jobs: what a worker imports is imported, in a process of its own.

The API's side imports no torch, and a package that is there may still not load: half an upgrade,
a torchvision for another torch, a missing library of the system.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.contracts import installation

_SECONDS = 300  # torch from a cold disk, on a machine with other work
_PROBE = """
import importlib, json, sys
broken = []
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        is_missing = isinstance(error, ModuleNotFoundError) and error.name == name
        line = str(error).strip().partition("\\n")[0]
        broken.append([name, "" if is_missing else f"{type(error).__name__}: {line}"])
        if name == "torch":
            break
print(json.dumps(broken))
"""


@dataclass(frozen=True)
class BrokenPart:
    """A module that a worker needs and cannot have.

    Attributes:
        name: Of the module.
        cause: Why it cannot be imported; empty: it is not installed.
    """

    name: str
    cause: str

    def __str__(self) -> str:
        """Say it in a clause."""
        if not self.cause:
            return f"{self.name} is not installed"
        return f"{self.name} cannot be imported ({self.cause})"


class Probe:
    """A process that imports what a worker imports, while its caller does something else."""

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
        """Wait, and return what cannot be imported."""
        try:
            out, err = self._process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            return [BrokenPart("torch", f"it took more than {_SECONDS} s")]
        try:
            return [BrokenPart(*part) for part in json.loads(out.splitlines()[-1])]
        except (ValueError, IndexError):  # it ended on the way: a library that crashes
            code = self._process.returncode
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            last = err.strip().rpartition("\n")[2]
            return [BrokenPart("torch", f"importing ended with {how} {last}".strip())]

    def stop(self) -> None:
        """End the process, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def how_to_install(broken: Sequence[BrokenPart]) -> str:
    """Return what to do about parts that cannot be imported."""
    causes = " ".join(part.cause for part in broken)
    if ".so" in causes and "cannot open shared object file" in causes:
        library = next(word for word in causes.split() if ".so" in word).strip(":(")
        return f"install the package of this system that has {library} (libgomp.so.1: libgomp1)"
    if any(part.cause for part in broken):
        names = " ".join(sorted({part.name.partition(".")[0] for part in broken} | {"torch"}))
        return f"install them again: pip install --upgrade --force-reinstall {names}"
    return installation.how_to_install("worker")
