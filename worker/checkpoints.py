"""A job's checkpoints: a folder on this machine, and a copy in the object store for other machines.

The job's process writes the folder and renames complete files into place. The copy is one tar. It
begins with the job's id and the claim's token, which makes its hash unique: deleting it after a
newer copy is recorded cannot delete another job's object.
"""

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from app.contracts.errors import UnavailableError
from app.objects.storage import ObjectStore
from app.records.leases import Claim
from secateur.engine.files.atomic_write import PARTIAL

log = structlog.get_logger(__name__)

_FILE = "checkpoint.tar"
_OWNER = "owner.txt"
_TOKEN = "token.txt"  # noqa: S105  # the claim's number

Keep = Callable[[dict[str, str]], Any]


class Checkpoints:
    """The checkpoints of one attempt."""

    def __init__(self, folder: Path, store: ObjectStore, claim: Claim) -> None:
        """Make the folder if it is missing.

        Args:
            folder: The job's folder on this machine; its attempts share it.
            store: Receives the copy.
            claim: The attempt.
        """
        self.folder, self._store, self._claim = folder / "files", store, claim
        self._home = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._copied: frozenset[tuple[str, int, int]] = frozenset()

    def fetch(self, stored: dict[str, Any] | None) -> None:
        """Replace the local checkpoint by another machine's copy, if that is newer.

        An unreadable copy is ignored: starting over costs time, failing would lose the job.

        Args:
            stored: The job row's checkpoint.
        """
        is_newer = stored is not None and stored["token"] > self._token()
        if is_newer and stored is not None:
            try:
                self._unpack(stored["files"][_FILE])
            except (UnavailableError, FileNotFoundError, tarfile.TarError, OSError):
                log.exception("checkpoint.unreadable", job_id=self._claim.job_id)
        (self._home / _TOKEN).write_text(str(self._claim.token))

    def store(self, keep: Callable[[dict[str, str]], Any]) -> None:
        """Copy the checkpoint to the object store if it changed, and record the copy.

        Args:
            keep: Records the copy, given SHA-256 by file name; returns the objects to delete.

        Raises:
            UnavailableError: The object store cannot be reached.
        """
        found = self._contents()
        if not found or found == self._copied:
            return
        path = self._home / _FILE
        self._pack(path)
        sha256 = self._store.put_file(path)
        path.unlink()
        self._copied = found
        for superseded in keep({_FILE: sha256}):
            self._store.delete(superseded)

    def _token(self) -> int:
        path = self._home / _TOKEN
        return int(path.read_text()) if path.exists() else 0

    def _contents(self) -> frozenset[tuple[str, int, int]]:
        """Return path, size in bytes and modification time in ns of each complete file."""
        found = []
        for path in self.folder.rglob("*"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue  # replaced just now
            if path.is_file() and path.suffix != PARTIAL:
                name = str(path.relative_to(self.folder))
                found.append((name, status.st_size, status.st_mtime_ns))
        return frozenset(found)

    def _pack(self, path: Path) -> None:
        owner = f"{self._claim.job_id} {self._claim.token}".encode()
        with tarfile.open(path, "w") as tar:
            head = tarfile.TarInfo(_OWNER)
            head.size = len(owner)
            tar.addfile(head, io.BytesIO(owner))
            for name, _, _ in sorted(self._contents()):
                with (self.folder / name).open("rb") as file:
                    tar.addfile(tar.gettarinfo(arcname=name, fileobj=file), file)

    def _unpack(self, sha256: str) -> None:
        path, fetched = self._home / _FILE, self._home / "fetched"
        shutil.rmtree(fetched, ignore_errors=True)
        self._store.fetch(sha256, path)
        with tarfile.open(path) as tar:
            tar.extractall(fetched, filter="data")
        path.unlink()
        (fetched / _OWNER).unlink()
        shutil.rmtree(self.folder)
        fetched.rename(self.folder)
