"""Delete unreferenced objects from the store, and old files from this machine's scratch.

An object is deleted when it is older than the grace period and no row refers to it. Referenced
objects are safe:

* A put commits its row within half the grace period, or never.
* A new object is not deleted for the whole grace period. If a put finds an object younger than half
  the grace period, the object stays for at least the other half. Its row is committed by then.
* If a put finds an older object, it writes the object again under the shared object lock. The
  collector checks age and references and deletes in one step, under the exclusive lock. Either it
  sees a young object, or the put writes the object after the delete.

A periodic task (`worker.garbage`) and ``secateur collect-garbage`` run it. Concurrent runs are
safe.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from app.contracts.job import JobState
from app.objects.lock import ObjectLock
from app.objects.removal import remove_folder
from app.objects.storage import ObjectStore, StoredObject
from app.records.database import Sessions, reading
from app.records.references import find_referenced
from app.records.tables import JobRow

_BATCH = 500


@dataclass(frozen=True)
class Collected:
    """Result of a collection.

    Attributes:
        num_objects: All objects.
        num_bytes: Size of all objects.
        num_young: Objects within the grace period.
        num_removed: Deleted objects (in a dry run: objects to delete).
        num_bytes_removed: Size of the deleted objects.
        num_unfinished: Deleted files of interrupted puts.
    """

    num_objects: int
    num_bytes: int
    num_young: int
    num_removed: int
    num_bytes_removed: int
    num_unfinished: int


class ObjectCollector:
    """Removes objects that no row refers to."""

    def __init__(
        self,
        sessions: Sessions,
        store: ObjectStore,
        lock: ObjectLock,
        orphan_seconds: float,
        undo_seconds: float = 0,
    ) -> None:
        """Collect what is older than ``orphan_seconds``.

        Objects of deleted models and data sets stay for ``undo_seconds`` after the deletion.
        """
        self._sessions, self._store, self._lock = sessions, store, lock
        self._orphan_seconds, self._undo_seconds = orphan_seconds, undo_seconds

    def collect(self, *, is_dry_run: bool = False, now: float | None = None) -> Collected:
        """Check every object once and delete those that no row refers to.

        Args:
            is_dry_run: Count without deleting.
            now: Time to use instead of the store's clock, in seconds since the epoch.

        Raises:
            UnavailableError: The store or the lock is unavailable; the next run continues.
        """
        before = (self._store.now() if now is None else now) - self._orphan_seconds
        num_objects = num_bytes = num_young = 0
        removed: list[StoredObject] = []
        for batch in _batches(self._store.list()):
            num_objects += len(batch)
            num_bytes += sum(found.num_bytes for found in batch)
            old = [found for found in batch if found.modified_at <= before]
            num_young += len(batch) - len(old)
            needed = self._find_referenced([found.sha256 for found in old])
            removed += [
                found
                for found in old
                if found.sha256 not in needed and (is_dry_run or self._remove(found, before))
            ]
        return Collected(
            num_objects,
            num_bytes,
            num_young,
            len(removed),
            sum(found.num_bytes for found in removed),
            0 if is_dry_run else self._store.remove_unfinished(before),
        )

    def _remove(self, found: StoredObject, before: float) -> bool:
        with self._lock.alone():
            # The age first: a put that did not renew it has committed its row by now.
            again = self._store.find(found.sha256)
            if again is None or again.modified_at > before:
                return False
            if self._find_referenced([found.sha256]):
                return False
            self._store.delete(found.sha256)
        return True

    def _find_referenced(self, hashes: list[str]) -> set[str]:
        with reading(self._sessions) as session:
            return find_referenced(session, hashes, self._undo_seconds)


def clean_uploads(scratch_dir: Path, before: float) -> int:
    """Remove partial uploads last written before ``before``; return how many."""
    removed = 0
    for path in (scratch_dir / "uploads").glob("*.partial"):
        if _is_older(path, before):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def clean_jobs(sessions: Sessions, scratch_dir: Path, before: float) -> int:
    """Remove folders of finished jobs last changed before ``before``; return how many.

    A worker removes its job's folder, unless it was killed or another worker finished the job.
    """
    removed = 0
    for folder in (scratch_dir / "jobs").glob("*"):
        if _is_older(folder, before) and _is_over(sessions, folder.name):
            remove_folder(folder)
            removed += 1
    return removed


def clean_caches(scratch_dir: Path, before: float) -> int:
    """Remove caches of tenants to which no job added since ``before``; return how many."""
    removed = 0
    for folder in (scratch_dir / "cache").glob("*"):
        if _is_older(folder, before):
            # Until each tenant had a cache of its own, the files lay here.
            (remove_folder if folder.is_dir() else Path.unlink)(folder)
            removed += 1
    return removed


def _is_over(sessions: Sessions, job_id: str) -> bool:
    with reading(sessions) as session:
        job = session.get(JobRow, job_id)
        return job is None or JobState(job.state).is_final


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False


def _batches(objects: Iterable[StoredObject]) -> Iterator[list[StoredObject]]:
    iterator = iter(objects)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
