"""Store the output files of a job: copied from untrusted hands, checked, then stored by hash.

The process, or another one that it left behind, may still run and write. So each file is copied to
a folder that it cannot write, and only the copy is checked, hashed and stored.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from app.contracts.settings import OutputSettings
from app.objects.storage import ObjectStore
from app.objects.untrusted import UntrustedFileError, UntrustedFolder
from app.records.outcomes import StoredFile
from worker.messages import OutputFile
from worker.time_limit import TimeLimit

Check = Callable[[OutputFile, Path], None]


def copy_outputs(  # from, to, and within
    work: Path,
    files: Sequence[OutputFile],
    copies: Path,
    limits: OutputSettings,
    time_limit: TimeLimit,
    check: Check,
) -> tuple[StoredFile, ...]:
    """Copy and check output files.

    Args:
        work: Folder of the job's process; the files are in its folder ``out``.
        files: The files that the process named.
        copies: Folder for the copies, which the process cannot write; must not exist.
        limits: Limits on number and size.
        time_limit: When to give up.
        check: Called with each file and its copy.

    Raises:
        UntrustedFileError: A file is not what it must be, or over a limit.
        UnavailableError: The time is over.
        InterruptedAttemptError: The attempt is to stop.
    """
    if len(files) > limits.files:
        raise UntrustedFileError(f"there are {len(files)} files, at most {limits.files} are stored")
    copies.mkdir()
    copied, left = [], limits.total_bytes
    with UntrustedFolder(work) as folder:
        for file in files:
            with folder.open(f"out/{file.name}", left) as opened:
                left -= opened.num_bytes
                sha256 = opened.copy_to(copies / file.name, time_limit.check)
            copied.append(StoredFile(file.name, file.media_type, sha256, opened.num_bytes))
    for file in files:
        check(file, copies / file.name)
    return tuple(copied)


def store_copies(
    copies: Path, files: Sequence[StoredFile], store: ObjectStore, time_limit: TimeLimit
) -> None:
    """Store copied files; those that are stored already cost one request.

    Raises:
        UnavailableError: The store cannot be reached in time.
        InterruptedAttemptError: The attempt is to stop.
    """
    for file in files:
        time_limit.run(partial(store.put_file, copies / file.name, file.sha256))
