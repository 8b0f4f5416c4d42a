"""Sandbox checks: what this kernel grants to a job's process, and who runs workers."""

import json
import subprocess
import sys
from collections.abc import Iterator

from app.cli.doctor.finding import Finding, Status
from app.contracts.settings import Settings
from app.sandbox.isolation import RUNGS
from app.sandbox.root import is_root_of_machine

_SECONDS = 30
_ADVICE = {
    "network": "allow user namespaces to this user; without them the system call filter still "
    "refuses sockets",
    "files": "use Linux 5.13 or newer with Landlock (lsm=landlock)",
    "capabilities": "use Linux",
    "filter": "use Linux with seccomp, on x86-64 or aarch64",
}


def check_sandbox(settings: Settings) -> Iterator[Finding]:
    """Check which rungs of the sandbox this machine grants, and that workers do not run as root."""
    try:
        done = subprocess.run(  # this Python, fixed arguments
            [sys.executable, "-P", "-W", "ignore", "-m", "app.sandbox"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        granted = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        yield Finding("sandbox", Status.FAIL, str(error), "unexpected error: please report it")
        return
    missing = [rung for rung in RUNGS if rung not in granted]
    if missing:
        detail = f"jobs run without {', '.join(missing)}"
        yield Finding("sandbox", Status.NOTE, detail, "; ".join(_ADVICE[rung] for rung in missing))
    else:
        yield Finding("sandbox", Status.OK, ", ".join(granted))
    if not is_root_of_machine():
        return
    advice = "run workers as another user, or in a container"
    if settings.worker.is_root_allowed:
        detail = "workers run as root of this machine: a break-out would own it"
        yield Finding("user", Status.NOTE, detail, advice)
    else:
        detail = "worker.is_root_allowed is false, and this is root of the machine"
        yield Finding("user", Status.FAIL, detail, advice)
