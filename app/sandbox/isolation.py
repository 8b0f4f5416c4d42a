"""Sandbox of a job's process: what it drops before it opens a user's file.

There are four rungs. Each is applied where the kernel supports it, and the worker logs which ones
were granted:

- ``network`` (namespace): a separate network without interfaces. Needs root, or a kernel that lets
  users create namespaces.
- ``files`` (`landlock`): only the files that a job needs.
- ``capabilities`` (`capabilities`): none, as root too.
- ``filter`` (`seccomp`): only the system calls that a job needs. Works inside containers.

No well-maintained library does all of them without a compiler or privileges, so these modules make
the system calls.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from app.sandbox.capabilities import drop_capabilities
from app.sandbox.kernel import LIBC, check
from app.sandbox.landlock import leave_files
from app.sandbox.needs import Needs
from app.sandbox.seccomp import filter_calls

RUNGS = ("network", "files", "capabilities", "filter")

_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x1000_0000, 0x4000_0000, 0x0800_0000
_PR_SET_NO_NEW_PRIVS = 38


def isolate(writable: Sequence[Path], needs: Needs, hidden: Sequence[Path] = ()) -> list[str]:
    """Drop access to network, files and most of the kernel, for this process and its children.

    Call it in a process with one thread.

    Args:
        writable: Folders that stay writable; they must exist.
        needs: What the job needs.
        hidden: Folders with the service's data, hidden wherever they lie.

    Returns:
        The rungs that the kernel granted, in the order in which they were applied.
    """
    if sys.platform != "linux":
        return []
    if LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return []
    rungs: dict[str, Callable[[], None]] = {
        "network": _leave_network,
        "files": lambda: leave_files(writable, needs, hidden),
        "capabilities": drop_capabilities,
        "filter": lambda: filter_calls(needs, os.getpid()),
    }
    granted = []
    for name, take in rungs.items():
        with contextlib.suppress(OSError):
            take()
            granted.append(name)
    return granted


def _leave_network() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        check(LIBC.unshare(_CLONE_NEWNET | _CLONE_NEWIPC))
        return
    check(LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | _CLONE_NEWIPC))
    # Map the ids to themselves; otherwise all files would appear to belong to nobody.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
