"""Jobs whose process was taken over: what it leaves and reports harms nobody else."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.objects.storage import ObjectStore
from app.records import jobs, usage
from app.records.events import list_events
from app.records.tables import ArtifactRow, JobRow
from tests.integration.worker import hostile_child
from tests.integration.worker.test_fork_server import ENVIRONMENT
from tests.integration.worker.world import World, wait_for
from worker.fork_server.client import ForkServer
from worker.orphans import clean_orphans
from worker.runner import Runner

MEBIBYTE = 1024**2


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with closing(ForkServer(hostile_child.__name__, ENVIRONMENT)) as running:
        yield running


@pytest.fixture
def world(tmp_path: Path, server: ForkServer) -> World:
    outputs = {"total_bytes": 32 * MEBIBYTE, "events": 1000, "event_bytes": 4 * MEBIBYTE}
    return World(tmp_path / "data", server, outputs=outputs)


def post(world: World, attack: str) -> str:
    return world.post(list(hostile_child.ATTACKS).index(attack))


def ran(world: World, attack: str) -> JobRow:
    job_id = post(world, attack)
    world.runner.run_job(job_id)
    return world.job(job_id)


def stored_bytes(world: World) -> int:
    return sum(found.num_bytes for found in world.store.list())


REFUSED = {
    "sparse_file": "pruned.pt2 has 1073741824 bytes, and at most 33554432",
    "many_sparse_files": "part15.bin has 2097152 bytes",
    "many_files": "101 files, at most 64",
    "missing_file": "pruned.pt2 is missing",
    "folder_as_file": "pruned.pt2 is a folder",
    "long_warning": "bytes, at most 16384",
    "long_metric": "bytes, at most 16384",
    "long_line": "bytes, at most 16777216",
    "long_summary": "bytes, at most 1048576",
    "many_metrics": "more than 1000 events",
    "large_metrics": "at most 4194304 are kept",
    "deep_metric": "more than 32 levels",
    "nul_in_report": "NUL",
    "finding_without_severity": "a code and a severity",
    "long_name": "files.1.name",
    "media_type": "files.0.media_type",
    "foreign_format": "x.exe",
    "no_program": "no program",
}


@pytest.mark.parametrize("attack", REFUSED)
def test_an_attack_fails_its_own_job_and_says_why(world: World, attack: str) -> None:
    before = stored_bytes(world)
    job = ran(world, attack)
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert (job.error["code"], job.error["retryable"]) == ("output_refused", False)
    assert REFUSED[attack] in job.error["message"]
    assert stored_bytes(world) == before, "nothing was stored"
    database = sum(path.stat().st_size for path in world.settings.data_dir.glob("secateur.db*"))
    assert database < 12 * MEBIBYTE
    with world.sessions() as session:
        assert not session.query(ArtifactRow).count()
    assert not list((world.settings.scratch_dir / "jobs").iterdir())


@pytest.mark.parametrize(
    "attack", ["fill_disk", "fill_disk_without_names", "fill_disk_with_empty_files"]
)
def test_a_job_that_fills_the_disk_is_ended_at_the_limit(
    tmp_path: Path, server: ForkServer, attack: str
) -> None:
    world = World(tmp_path / "data", server, disk_bytes=16 * MEBIBYTE)
    job = ran(world, attack)
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert (job.error["code"], job.error["retryable"]) == ("disk_limit", False)
    assert "more than 16,777,216 bytes to the worker's disk" in job.error["message"]
    assert not list((world.settings.scratch_dir / "jobs").iterdir()), "the room is free again"


def test_messages_before_a_flood_are_kept_and_count_for_the_tenant(world: World) -> None:
    job = ran(world, "many_metrics")
    with world.sessions() as session:
        found = list_events(session, job_id=job.id, after=0, limit=5000, types=["metric"])
        # The stage counts as one.
        assert [event.data["number"] for event in found] == list(range(999))
        assert usage.count_bytes(session, "t") >= sum(len(json.dumps(e.data)) for e in found)
    assert ran(world, "long_warning").warnings == ["kept"]


def test_no_link_pipe_socket_or_device_can_be_made(world: World) -> None:
    job = ran(world, "plant_specials")
    assert job.result is not None
    assert job.result["summary"] == {"refused": 12}


def test_a_worker_keeps_its_record_of_processes_to_itself(world: World) -> None:
    job = ran(world, "forged_processes")
    assert job.result is not None
    assert job.result["summary"] == {"found": 0}


def test_the_log_is_read_to_its_end_whatever_the_process_does(world: World) -> None:
    with capture_logs() as logs:
        job = ran(world, "replaced_log")
    assert job.state == "queued"
    tail = next(entry["tail"] for entry in logs if entry["event"] == "job.process_failed")
    assert "last words" in tail
    assert "\x1b" not in tail, "a terminal would obey it"


def test_folders_that_are_hard_to_remove_are_removed(world: World) -> None:
    assert ran(world, "unremovable").state == "succeeded"
    assert not list((world.settings.scratch_dir / "jobs").iterdir())


PLANTS: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a link to a secret": (lambda path, secret: path.symlink_to(secret), "a symbolic link"),
    "a link to /proc": (lambda path, _: path.symlink_to("/proc/self/environ"), "a symbolic link"),
    "a hard link": (lambda path, secret: path.hardlink_to(secret), "linked from"),
    "a pipe": (lambda path, _: os.mkfifo(path), "a pipe"),
}


def plant_meanwhile(
    world: World, plant: Callable[[Path], object], *, is_finishing: bool = True
) -> JobRow:
    """Run a job, and change its folder as its process could where there is no Landlock."""
    job_id = post(world, "wait")
    thread = threading.Thread(target=world.runner.run_job, args=(job_id,))
    thread.start()
    wait_for(lambda: "metric" in world.events(job_id))
    (out,) = (world.settings.scratch_dir / "jobs" / job_id).glob("attempt-*/work/out")
    plant(out)
    if is_finishing:
        (out / "go").touch()
    thread.join(20)
    assert not thread.is_alive(), "the worker waits for the pipe"
    return world.job(job_id)


@pytest.mark.parametrize("what", PLANTS)
def test_what_is_no_file_is_not_stored_even_without_landlock(world: World, what: str) -> None:
    secret = world.settings.data_dir / "api-key"
    secret.write_text("sec_x")
    make, reason = PLANTS[what]

    def plant(out: Path) -> None:
        (out / "pruned.pt2").unlink()
        make(out / "pruned.pt2", secret)

    before = stored_bytes(world)
    job = plant_meanwhile(world, plant)
    assert job.error is not None
    assert job.error["code"] == "output_refused"
    assert reason in job.error["message"]
    assert stored_bytes(world) == before


def test_a_link_in_place_of_the_output_folder_is_not_followed(world: World) -> None:
    def plant(out: Path) -> None:
        elsewhere = world.settings.data_dir / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "pruned.pt2").write_text("sec_x")
        (elsewhere / "go").touch()
        out.rename(out.with_name("old"))
        out.symlink_to(elsewhere)

    job = plant_meanwhile(world, plant)
    assert job.error is not None
    assert job.error["code"] == "output_refused"


def test_a_checkpoint_with_a_link_is_not_copied_and_the_job_goes_on(world: World) -> None:
    secret = world.settings.data_dir / "api-key"
    secret.write_text("sec_x")
    before = stored_bytes(world)

    def plant(out: Path) -> None:
        files = out.parents[2] / "checkpoints" / "files"
        (files / "state.bin").symlink_to(secret)
        world.stopping.set()  # the worker hands the job back, with its checkpoint

    job = plant_meanwhile(world, plant, is_finishing=False)
    assert (job.state, job.checkpoint) == ("queued", None)
    assert stored_bytes(world) == before


class StuckStore(ObjectStore):
    """A store that takes no file until it is released."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(store._backend, store._refresh_seconds)
        self.is_asked, self.is_released = threading.Event(), threading.Event()

    def put_file(self, path: Path, sha256: str | None = None) -> str:
        self.is_asked.set()
        self.is_released.wait(30)
        return super().put_file(path, sha256)

    def fetch(self, sha256: str, path: Path) -> None:
        if self.is_asked.is_set():
            self.is_released.wait(30)
        super().fetch(sha256, path)


@pytest.fixture
def stuck(world: World) -> Iterator[StuckStore]:
    store = StuckStore(world.store)
    settings, server = world.settings, world.server
    world.runner = Runner(settings, world.sessions, store, world.stopping, server)
    yield store
    store.is_released.set()


@pytest.mark.parametrize("way", ["outputs", "inputs"])
def test_a_job_is_cancelled_while_its_store_does_not_answer(
    world: World, stuck: StuckStore, way: str
) -> None:
    if way == "inputs":
        stuck.is_asked.set()
    job_id = post(world, "forged_processes")
    thread = threading.Thread(target=world.runner.run_job, args=(job_id,))
    thread.start()
    assert stuck.is_asked.wait(20)
    wait_for(lambda: world.job(job_id).state == "running")
    with world.sessions.begin() as session:
        jobs.request_cancel(session, job_id)
    thread.join(10)
    assert not thread.is_alive()
    assert world.job(job_id).state == "cancelled"


def test_a_store_that_does_not_answer_holds_a_slot_for_a_limited_time(
    tmp_path: Path, server: ForkServer
) -> None:
    world = World(tmp_path / "data", server, outputs={"store_seconds": 0.5}, outage_seconds=1.0)
    store = StuckStore(world.store)
    world.runner = Runner(world.settings, world.sessions, store, world.stopping, server)
    job = ran(world, "forged_processes")
    store.is_released.set()
    assert (job.state, job.attempt) == ("queued", 0), "it is tried again, which is no attempt"


FORGED: dict[str, Any] = {
    "an array": [],
    "no object": 7,
    "nothing": None,
    "other names": {"pid": 1},
    "our own group": {"worker": [2, "1"], "child": [0, "1"]},
    "the first process": {"worker": [2, "1"], "child": [1, "1"]},
    "a path for a number": {"worker": ["../self", "1"], "child": [2, "1"]},
    "a short identity": {"worker": [2], "child": [2]},
    "numbers for texts": {"worker": [2, 1], "child": [2, 1]},
    "a negative number": {"worker": [2, "1"], "child": [-1, "1"]},
    "a huge number": {"worker": [10**40, "1"], "child": [10**40, "1"]},
}


@pytest.mark.parametrize("what", FORGED)
def test_a_record_of_processes_that_makes_no_sense_is_left_alone(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "jobs" / "job_x" / "attempt-1-1"
    folder.mkdir(parents=True)
    (folder / "processes.json").write_text(json.dumps(FORGED[what]))
    if what == "a huge number":  # no such worker: its folder is removed, nothing is killed
        assert clean_orphans(tmp_path) == 1
        return
    assert clean_orphans(tmp_path) == 0
    assert folder.exists()


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff", '{"worker": NaN}', " " * 10**6])
def test_garbage_in_the_record_raises_nothing(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "jobs" / "job_x" / "attempt-1-1"
    folder.mkdir(parents=True)
    (folder / "processes.json").write_bytes(text.encode("latin-1"))
    assert clean_orphans(tmp_path) == 0


def test_a_pipe_or_link_in_place_of_the_record_is_not_opened(tmp_path: Path) -> None:
    for number, plant in enumerate((os.mkfifo, lambda path: path.symlink_to("/dev/zero"))):
        folder = tmp_path / "jobs" / "job_x" / f"attempt-{number}-1"
        folder.mkdir(parents=True)
        plant(folder / "processes.json")
    assert clean_orphans(tmp_path) == 0
