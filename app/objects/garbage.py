"""What nothing refers to any more: objects in the store, and leftovers in this machine's scratch.

An object goes when it is older than the grace period and no row refers to it. Why nothing that is
needed can go:

* Whoever puts an object commits its row within half the grace period (or never).
* If the put wrote the object, it is left alone for all of it. If the put found one younger than
  half the grace period, that one is left alone for the other half. The row is there by then.
* If the put found it older, it writes it again under the object lock. The collector's last look at
  age and references, and its delete, are one step under that lock, held alone: either the look sees
  a young object, or the put comes after the delete and leaves the object there.

Run by a periodic task (`worker.garbage`) and by ``secateur collect-garbage``. Two at once are fine.
"""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from app.contracts.job import JobState
from app.objects.lock import ObjectLock
from app.objects.storage import ObjectStore, StoredObject
from app.records.database import Sessions, reading
from app.records.references import find_referenced
from app.records.tables import JobRow

_BATCH = 500


@dataclass(frozen=True)
class Collected:
    """What a collection found.

    Attributes:
        num_objects: All there were.
        num_bytes: Their size.
        num_young: Of them, too young to be judged.
        num_removed: Of them, gone now (or to go, in a dry run).
        num_bytes_removed: Their size.
        num_unfinished: Puts that were cut off, gone now.
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
        self, sessions: Sessions, store: ObjectStore, lock: ObjectLock, orphan_seconds: float
    ) -> None:
        self._sessions, self._store, self._lock = sessions, store, lock
        self._orphan_seconds = orphan_seconds

    def collect(self, *, is_dry_run: bool = False, now: float | None = None) -> Collected:
        """Look at every object once.

        Args:
            is_dry_run: Only count.
            now: The time, instead of the store's.

        Raises:
            UnavailableError: The store, or the lock; what is left is for the next time.
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
            return find_referenced(session, hashes)


def clean_uploads(scratch_dir: Path, before: float) -> int:
    """Remove uploads that ended with their process and were last written to before that time."""
    removed = 0
    for path in (scratch_dir / "uploads").glob("*.partial"):
        if _is_older(path, before):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def clean_jobs(sessions: Sessions, scratch_dir: Path, before: float) -> int:
    """Remove the folders of jobs that have ended, if they were last changed before that time.

    A worker removes its job's folder itself, unless it was killed or another finished the job.
    """
    removed = 0
    for folder in (scratch_dir / "jobs").glob("*"):
        if _is_older(folder, before) and _is_over(sessions, folder.name):
            shutil.rmtree(folder, ignore_errors=True)
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
