"""Files and folders of the service that only its own user may read."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OWNER_ONLY = 0o077  # the rights that others do not get


@contextmanager
def private_files() -> Iterator[None]:
    """Give others no rights to anything that this process and its children create meanwhile."""
    before = os.umask(_OWNER_ONLY)
    try:
        yield
    finally:
        os.umask(before)


def make_private(path: Path) -> None:
    """Take the rights of others to a file away, such as one of an earlier version."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OWNER_ONLY:
        path.chmod(mode & ~_OWNER_ONLY)


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read at any time; a link in its place is not followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "w") as file:  # noqa: PTH123  # of a descriptor
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
