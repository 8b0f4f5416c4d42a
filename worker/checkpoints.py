"""A job's checkpoints: a folder on this machine, and a copy in the object store for other machines.

The job's process writes the folder and renames complete files into place. The copy is one tar. It
begins with the job's id and the claim's token, which makes its hash unique: deleting it after a
newer copy is recorded cannot delete another job's object.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from app.contracts.settings import OutputSettings
from app.objects.removal import remove_folder
from app.objects.storage import CorruptObjectError, ObjectStore, file_sha256
from app.objects.untrusted import FoundFile, UntrustedFileError, UntrustedFolder
from app.records.leases import Claim
from secateur.engine.files.atomic_write import PARTIAL
from worker.checkpoint_tar import CheckpointTarError, pack, unpack
from worker.disk import is_disk_full
from worker.time_limit import TimeLimit

log = structlog.get_logger(__name__)

_FILE = "checkpoint.tar"
_TOKEN = "token.txt"  # noqa: S105  # the claim's number


class Checkpoints:
    """The checkpoints of one attempt."""

    def __init__(
        self, folder: Path, store: ObjectStore, claim: Claim, limits: OutputSettings
    ) -> None:
        """Make the folder if it is missing.

        Args:
            folder: The job's folder on this machine; its attempts share it. The process can write
                only its folder ``files``.
            store: Receives the copy.
            claim: The attempt.
            limits: Limits on the files.
        """
        self.folder, self._store, self._claim = folder / "files", store, claim
        self._home, self._limits = folder, limits
        self.folder.mkdir(parents=True, exist_ok=True)
        self._copied: Sequence[FoundFile] = ()

    def fetch(self, stored: dict[str, Any] | None, time_limit: TimeLimit) -> None:
        """Replace the local checkpoint by another machine's copy, if that is newer.

        A damaged copy is ignored: starting over costs time, failing would lose the job.

        Args:
            stored: The job row's checkpoint.
            time_limit: When to give up.

        Raises:
            UnavailableError: The object store cannot be reached in time.
            OSError: The disk is full.
            InterruptedAttemptError: The attempt is to stop.
        """
        is_newer = stored is not None and stored["token"] > self._token()
        if is_newer and stored is not None:
            try:
                self._replace(stored["files"][_FILE], time_limit)
            except (CorruptObjectError, OSError, CheckpointTarError) as error:
                if is_disk_full(error):
                    raise
                log.exception("checkpoint.unreadable", job_id=self._claim.job_id)
        (self._home / _TOKEN).write_text(str(self._claim.token))

    def store(self, keep: Callable[[dict[str, str]], Sequence[str]], time_limit: TimeLimit) -> bool:
        """Copy the checkpoint to the object store if it changed, and record the copy.

        Returns whether it changed.

        Args:
            keep: Records the copy, given SHA-256 by file name; returns the objects to delete.
            time_limit: When to give up.

        Raises:
            UnavailableError: The object store cannot be reached in time.
            UntrustedFileError: The folder has something else than files, or is over a limit.
            InterruptedAttemptError: The attempt is to stop.
        """
        path = self._own(_FILE)
        with UntrustedFolder(self.folder) as folder:
            found = self._complete(folder)
            if not found or found == self._copied:
                return False
            try:
                owner = f"{self._claim.job_id} {self._claim.token}"
                most = self._limits.checkpoint_bytes
                pack(folder, found, owner, path, most, time_limit)
                sha256 = file_sha256(path)
                time_limit.run(lambda: self._store.put_file(path, sha256))
            finally:
                path.unlink(missing_ok=True)
        superseded = keep({_FILE: sha256})
        self._copied = found  # if it was not recorded, the next call tries again
        for each in superseded:
            time_limit.run(partial(self._store.delete, each))
        return True

    def _token(self) -> int:
        try:
            return int((self._home / _TOKEN).read_text())
        except (FileNotFoundError, ValueError):  # a machine that lost power can leave it empty
            return 0

    def _own(self, name: str) -> Path:
        """Return a path that a thread left behind by another attempt does not use."""
        return self._home / f"{self._claim.token}-{name}"

    def _complete(self, folder: UntrustedFolder) -> Sequence[FoundFile]:
        """Return the files that are completely written."""
        found = folder.find_files(self._limits.checkpoint_files)
        total, most = sum(file.num_bytes for file in found), self._limits.checkpoint_bytes
        if total > most:
            raise UntrustedFileError(f"the checkpoints have {total} bytes, at most {most} are kept")
        return [file for file in found if not file.name.endswith(PARTIAL)]

    def _replace(self, sha256: str, time_limit: TimeLimit) -> None:
        path, fetched = self._own(_FILE), self._own("fetched")
        remove_folder(fetched)
        time_limit.run(lambda: self._store.fetch(sha256, path))
        unpack(path, fetched, self._limits)
        path.unlink()
        remove_folder(self.folder)
        fetched.rename(self.folder)
