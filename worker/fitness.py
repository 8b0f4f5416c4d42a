"""Whether this worker can run jobs: it checks itself, and rests after failures of its own.

A worker that cannot run jobs is always free, so without a rest it would take every job before the
workers that can.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from app.contracts.errors import UnavailableError
from app.contracts.settings import Settings
from app.objects.storage import ObjectStore
from app.sandbox.limits import ProcessLimits
from app.sandbox.needs import Needs
from worker.fork_server.client import ChildRequest, ForkServer, ForkServerError
from worker.messages import PROBE
from worker.time_limit import InterruptedAttemptError, TimeLimit

log = structlog.get_logger(__name__)

CHECK_SECONDS = 5.0  # between checks while there is no trouble
_REST_SECONDS, _MAX_REST_SECONDS = 5.0, 60.0
_STORE_SECONDS = 10.0
_MIN_FREE_SHARE = 0.05
_PROBE_BYTES = 65_536
_DEVICE_SECONDS = 120.0  # CUDA starts slowly from a cold disk


class Fitness:
    """The state of one worker. Its slots share it.

    Args:
        settings: The service's settings.
        store: The object store.
        server: Forks the jobs' processes.
        is_stopping: Whether the worker shuts down.
        clock: Seconds that only grow.

    Attributes:
        trouble: Why the worker claims no jobs; None if it does.
    """

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        server: ForkServer,
        is_stopping: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trouble: str | None = None
        self._settings, self._store, self._server = settings, store, server
        self._is_stopping, self._clock = is_stopping, clock
        self._lock = threading.Lock()
        self._checked_at = self._rests_until = float("-inf")
        self._num_rests = 0
        self._is_server_suspect = False
        self._is_device_suspect = settings.worker.device.startswith("cuda")  # until it is tried

    def may_claim(self) -> bool:
        """Return whether the worker may claim a job, after a check if one is due."""
        with self._lock:
            now = self._clock()
            if now < self._rests_until or self._server.is_resting():
                return False
            if self.trouble is None and now - self._checked_at < CHECK_SECONDS:
                return True
            self._check()
            return self.trouble is None

    def note_failure(self, reason: str) -> bool:
        """Rest after a failure that looks like one of the worker; return whether a check agrees.

        If it does not, the job may be at fault.
        """
        with self._lock:
            self._is_device_suspect = self._settings.worker.device.startswith("cuda")
            self._check()
            is_certain = self.trouble is not None
            if not is_certain:  # others get the chance to take the next job
                self._rests_until = self._clock() + _REST_SECONDS
                log.warning("worker.rests", reason=reason, seconds=_REST_SECONDS)
            self._checked_at = float("-inf")
            return is_certain

    def find_scratch_trouble(self) -> str | None:
        """Return why the scratch folder cannot be used, and rest in that case."""
        with self._lock:
            found = self._check_scratch()
            if found is not None:
                self._rest(found)
            return found

    def note_server_failure(self, reason: str) -> None:
        """Rest because no process could be started."""
        with self._lock:
            self._is_server_suspect = True
            self._rest(reason)

    def note_outage(self, reason: str) -> None:
        """Rest because the object store is away."""
        with self._lock:
            self._rest(reason)

    def end_rest(self) -> None:
        """End a rest early, for a check: the object store is back."""
        with self._lock:
            self._checked_at = self._rests_until = float("-inf")

    def _check(self) -> None:
        found = self._find_trouble()
        if found is not None:
            self._rest(found)
            return
        if self.trouble is not None:
            log.info("worker.fit_again", trouble=self.trouble)
        self.trouble, self._num_rests, self._is_server_suspect = None, 0, False
        self._is_device_suspect = False
        self._checked_at = self._clock()

    def _rest(self, trouble: str) -> None:
        seconds = min(_MAX_REST_SECONDS, _REST_SECONDS * 2 ** min(self._num_rests, 10))
        self._num_rests += 1
        self.trouble, self._rests_until = trouble, self._clock() + seconds
        log.warning("worker.rests", reason=trouble, seconds=seconds)

    def _find_trouble(self) -> str | None:
        return (
            self._check_scratch()
            or self._check_store()
            or (self._check_server() if self._is_server_suspect else None)
            or (self._check_device() if self._is_device_suspect else None)
        )

    def _check_scratch(self) -> str | None:
        return check_scratch(self._settings.scratch_dir, self._settings.worker.scratch_free_bytes)

    def _check_store(self) -> str | None:
        try:
            TimeLimit(_STORE_SECONDS, self._is_stopping).run(self._store.check)
        except (UnavailableError, OSError) as error:
            return str(error)
        except InterruptedAttemptError:
            return "the worker shuts down"
        return None

    def _check_server(self) -> str | None:
        """Fork a process without a job, which ends at once."""
        return self._try_process("none", _STORE_SECONDS)

    def _check_device(self) -> str | None:
        """Fork a process that computes on the worker's device."""
        return self._try_process(PROBE, _DEVICE_SECONDS)

    def _try_process(self, name: str, seconds: float) -> str | None:
        """Return why a process cannot be forked, or cannot compute if it is a probe."""
        device = self._settings.worker.device
        with suppress(OSError), tempfile.TemporaryDirectory(dir=self._settings.scratch_dir) as home:
            folder = Path(home)
            if name == PROBE:
                (folder / name).write_text(device)
            needs = Needs(gpu=device.startswith("cuda"))
            request = ChildRequest(
                folder / name, folder, folder / "log", [folder], ProcessLimits(), needs
            )
            reader, events = os.pipe()
            try:
                code = self._server.start_child(request, events).wait(seconds)
            except ForkServerError as error:
                return f"the worker cannot run jobs: {error}"
            else:
                if name == PROBE and code != 0:
                    return f"the worker's device {device} does not compute"
            finally:
                os.close(reader)
                os.close(events)
        return None


def check_scratch(folder: Path, min_free_bytes: int) -> str | None:
    """Return why a worker cannot use its scratch folder, or None."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
        disk = shutil.disk_usage(folder)
    except OSError as error:
        return f"the worker's disk: {error.strerror or 'input or output failed'}"
    least = min(min_free_bytes, int(_MIN_FREE_SHARE * disk.total))
    if disk.free < least:
        return f"the worker's disk has {disk.free} bytes free, and {least} are needed"
    return None
