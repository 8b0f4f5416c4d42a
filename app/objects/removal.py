"""Remove folders that a job's process could write, whatever their depth and permissions are.

`shutil.rmtree` recurses, so a process could make a folder too deep to be removed, and it gives up
where the process took its own permissions away.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from app.objects.untrusted import FOLDER_FLAGS

_MOST_SECONDS = 300.0  # a process that still runs may add files as fast as they are removed


def remove_folder(path: Path) -> None:
    """Remove a folder and everything below it; follow no links, ignore what cannot be removed."""
    end = time.monotonic() + _MOST_SECONDS
    with contextlib.suppress(OSError):
        above = os.open(path.parent, FOLDER_FLAGS & ~os.O_NOFOLLOW)
        try:
            top = _open(path.name, above)
            try:
                _empty(top, end)
            finally:
                os.close(top)
            os.rmdir(path.name, dir_fd=above)
        finally:
            os.close(above)


def _empty(top: int, end: float) -> None:
    """Remove what is below ``top``; a folder's folders are moved up, so that none is deep."""
    numbers = count()
    left = _clear(top, top, numbers, end)
    while left and time.monotonic() < end:
        name = left.pop()
        with contextlib.suppress(OSError):
            folder = _open(name, top)
            try:
                left += _clear(folder, top, numbers, end)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)


def _clear(folder: int, top: int, numbers: Iterator[int], end: float) -> list[str]:
    """Remove a folder's files and return its folders, by their new names in ``top``."""
    moved = []
    with os.scandir(folder) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in names:
        if time.monotonic() > end:
            break
        with contextlib.suppress(OSError):
            if not is_folder:
                os.unlink(name, dir_fd=folder)
            elif folder == top:
                moved.append(name)
            else:
                os.close(_open(name, folder))  # moving a folder needs the right to write it
                new = f".removed-{next(numbers)}"
                os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
                moved.append(new)
    return moved


def _open(name: str, above: int) -> int:
    """Open a folder, after giving ourselves the rights to it."""
    with contextlib.suppress(OSError):
        if sys.platform == "linux":
            # By descriptor: a name could be replaced by a link.
            held = os.open(name, os.O_PATH | FOLDER_FLAGS, dir_fd=above)
            try:
                os.chmod(f"/proc/self/fd/{held}", 0o700)  # noqa: PTH101  # as below
            finally:
                os.close(held)
        else:
            os.chmod(name, 0o700, dir_fd=above, follow_symlinks=False)
    return os.open(name, FOLDER_FLAGS, dir_fd=above)
