"""The tar of a checkpoint: regular files below one folder, and first of all its owner's name.

A process could have put anything into its folder, and an old version of a worker into the tar. So
both ways take regular files only, of a bounded number and size.
"""

import io
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from app.contracts.settings import OutputSettings
from app.objects.untrusted import CHUNK_BYTES, FoundFile, UntrustedFile, UntrustedFolder
from worker.time_limit import TimeLimit

_OWNER = "owner.txt"


class CheckpointTarError(Exception):
    """A tar is not one of a checkpoint."""


def pack(
    folder: UntrustedFolder,
    files: Sequence[FoundFile],
    owner: str,
    path: Path,
    most_bytes: int,
    time_limit: TimeLimit,
) -> None:
    """Write files of a checkpoint folder to a new tar.

    Args:
        folder: The folder.
        files: The files; the process may have replaced them since they were found.
        owner: Text that makes the tar unique.
        path: Path of the tar.
        most_bytes: Largest sum of the files' sizes.
        time_limit: When to give up.

    Raises:
        UntrustedFileError: A file is gone, is no longer a regular file, or is too large.
        OSError: A file shrank while it was copied.
    """
    with tarfile.open(path, "w") as tar:
        head = tarfile.TarInfo(_OWNER)
        head.size = len(owner)
        tar.addfile(head, io.BytesIO(owner.encode()))
        left = most_bytes
        for found in files:
            with folder.open(found.name, left) as file:
                left -= file.num_bytes
                member = tarfile.TarInfo(found.name)
                member.size, member.mtime = file.num_bytes, file.modified_at // 10**9
                tar.addfile(member, _Checked(file, time_limit))


def unpack(path: Path, target: Path, limits: OutputSettings) -> None:
    """Unpack a tar of `pack` into a new folder.

    Raises:
        CheckpointTarError: It has something else than regular files, or is over a limit.
    """
    target.mkdir()
    left = limits.checkpoint_bytes
    try:
        with tarfile.open(path, "r:") as tar:
            for number, member in enumerate(tar):
                left -= member.size
                if number > limits.checkpoint_files or left < 0:
                    raise CheckpointTarError("it is over a limit")
                if member.name == _OWNER:
                    continue
                name = PurePosixPath(member.name)
                is_inside = not name.is_absolute() and ".." not in name.parts
                if not member.isreg() or member.issparse() or not is_inside:
                    raise CheckpointTarError(f"{member.name[:100]!r} is not a file in the folder")
                source = tar.extractfile(member)
                assert source is not None  # noqa: S101  # regular files have content
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                with source, (target / name).open("xb") as copy:
                    shutil.copyfileobj(source, copy)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise CheckpointTarError("it is damaged") from error


class _Checked:
    """A file that reads only while there is time left."""

    def __init__(self, file: UntrustedFile, time_limit: TimeLimit) -> None:
        self._file, self._time_limit = file, time_limit

    def read(self, most_bytes: int = CHUNK_BYTES, /) -> bytes:
        """Return the next bytes."""
        self._time_limit.check()
        return self._file.read(most_bytes)
