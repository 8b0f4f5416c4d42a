"""Files in a folder that a job's process can write, opened without trusting what lies there.

The process may have replaced any name by a link, a pipe or a device, and may replace it again while
it is read. So every component of a path is opened relative to the descriptor of its folder, without
following links and without waiting. Type, owner and size are those of the open descriptor, and the
bytes are copied from it. No other module opens files in such a folder
(`tests/unit/worker/test_untrusted_paths.py`).
"""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK_BYTES = 1024 * 1024
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LEVELS = 16
# Of links (EMLINK on BSD) and of pipes and sockets without a process behind them.
_LINKS_AND_PIPES = {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENAMETOOLONG}
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class UntrustedFileError(Exception):
    """A name in the folder is not what it must be; the message is safe to show to users."""


@dataclass(frozen=True)
class FoundFile:
    """A regular file below the folder.

    Attributes:
        name: Path relative to the folder, with slashes.
        num_bytes: Size, holes included.
        modified_at: Modification time in nanoseconds.
    """

    name: str
    num_bytes: int
    modified_at: int


class UntrustedFile:
    """A regular file, open for reading; close it after use.

    Attributes:
        name: Path relative to the folder.
        num_bytes: Size when it was opened, holes included.
        modified_at: Modification time in nanoseconds.
    """

    def __init__(self, descriptor: int, name: str, status: os.stat_result) -> None:
        self.name, self.num_bytes, self.modified_at = name, status.st_size, status.st_mtime_ns
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def read(self, most_bytes: int) -> bytes:
        """Return the next bytes; empty at the end of the file."""
        return os.read(self._descriptor, most_bytes)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes that the file had when it was opened.

        Raises:
            UntrustedFileError: The file has become longer or shorter.
        """
        left = self.num_bytes
        while chunk := self.read(min(CHUNK_BYTES, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise UntrustedFileError(f"{self.name} grew while it was copied")
            yield chunk
        if left:
            raise UntrustedFileError(f"{self.name} shrank while it was copied")

    def copy_to(self, target: Path, check: Callable[[], None] = lambda: None) -> str:
        """Copy the bytes to a new file and return their SHA-256 in hexadecimal.

        Args:
            target: Path of the new file, in a folder that the process cannot write.
            check: Called before every chunk; an exception ends the copy.

        Raises:
            UntrustedFileError: The file has become longer or shorter.
        """
        digest = hashlib.sha256()
        with target.open("xb") as copy:
            for chunk in self.chunks():
                check()
                digest.update(chunk)
                copy.write(chunk)
        return digest.hexdigest()


class UntrustedFolder:
    """A folder that a job's process can write; close it after use.

    Args:
        path: The folder. The process must not be able to write the folders above it.

    Raises:
        UntrustedFileError: ``path`` is not a folder.
        FileNotFoundError: There is no such folder.
    """

    def __init__(self, path: Path) -> None:
        with _named(path.name):
            self._descriptor = os.open(path, FOLDER_FLAGS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def open(self, name: str, most_bytes: int) -> UntrustedFile:
        """Open a regular file below the folder.

        Args:
            name: Path relative to the folder, with slashes.
            most_bytes: Largest size, holes included.

        Raises:
            UntrustedFileError: The file is missing, unreadable, too large, linked from elsewhere,
                another user's, or not a regular file; or the name leaves the folder.
        """
        *above, last = _parts(name)
        with contextlib.ExitStack() as opened, _named(name):
            folder = self._descriptor
            for part in above:
                folder = os.open(part, FOLDER_FLAGS, dir_fd=folder)
                opened.callback(os.close, folder)
            # First by name: opening some devices has an effect.
            _check(os.stat(last, dir_fd=folder, follow_symlinks=False), name, most_bytes)
            descriptor = os.open(last, _FILE_FLAGS, dir_fd=folder)
            try:
                status = os.fstat(descriptor)
                _check(status, name, most_bytes)
            except BaseException:
                os.close(descriptor)
                raise
        return UntrustedFile(descriptor, name, status)

    def find_files(self, most_entries: int) -> list[FoundFile]:
        """Return every file below the folder, sorted by name.

        Files and folders that vanish meanwhile are left out.

        Raises:
            UntrustedFileError: There are more entries, deeper folders, or something that is neither
                a folder nor a regular file.
        """
        found: list[FoundFile] = []
        self._find(self._descriptor, (), found, [most_entries])
        return sorted(found, key=lambda each: each.name)

    def _find(
        self, folder: int, above: tuple[str, ...], found: list[FoundFile], left: list[int]
    ) -> None:
        if len(above) > _MOST_LEVELS:
            raise UntrustedFileError(f"folders are nested more than {_MOST_LEVELS} deep")
        with os.scandir(folder) as entries:
            for entry in entries:
                left[0] -= 1
                if left[0] < 0:
                    raise UntrustedFileError("there are too many files")
                name = "/".join((*above, entry.name))
                with contextlib.suppress(FileNotFoundError), _named(name, is_gone_fine=True):
                    status = entry.stat(follow_symlinks=False)
                    if not stat.S_ISDIR(status.st_mode):
                        _check(status, name, None)
                        found.append(FoundFile(name, status.st_size, status.st_mtime_ns))
                        continue
                    inner = os.open(entry.name, FOLDER_FLAGS, dir_fd=folder)
                    try:
                        self._find(inner, (*above, entry.name), found, left)
                    finally:
                        os.close(inner)


def _parts(name: str) -> list[str]:
    parts = name.split("/")
    if len(parts) > _MOST_LEVELS or "\0" in name or any(p in {"", ".", ".."} for p in parts):
        raise UntrustedFileError(f"{name[:100]!r} is not the name of a file in the folder")
    return parts


def _check(status: os.stat_result, name: str, most_bytes: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UntrustedFileError(f"{name} is {kind} instead of a file")
    # A file replaced just now has no name left.
    if status.st_nlink > 1:
        raise UntrustedFileError(f"{name} is linked from {status.st_nlink} places")
    if status.st_uid != os.geteuid():
        raise UntrustedFileError(f"{name} belongs to another user")
    if most_bytes is not None and status.st_size > most_bytes:
        raise UntrustedFileError(
            f"{name} has {status.st_size} bytes, and at most {most_bytes} are left for it"
        )


@contextlib.contextmanager
def _named(name: str, *, is_gone_fine: bool = False) -> Iterator[None]:
    """Turn what a process can cause into `UntrustedFileError`; leave faults of the disk."""
    try:
        yield
    except FileNotFoundError as error:
        if is_gone_fine:
            raise
        raise UntrustedFileError(f"{name} is missing") from error
    except NotADirectoryError as error:
        raise UntrustedFileError(f"{name} is below something that is not a folder") from error
    except PermissionError as error:
        raise UntrustedFileError(f"{name} cannot be read") from error
    except OSError as error:
        if error.errno not in _LINKS_AND_PIPES:
            raise
        raise UntrustedFileError(f"{name} is not a regular file") from error
