"""Garbage collection on both stores and both databases: referenced objects stay, others go."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import pytest
from pydantic import SecretStr

from app.contracts.errors import UnavailableError
from app.contracts.ids import new_id
from app.contracts.job import JobKind, JobState
from app.contracts.settings import StorageSettings
from app.objects.garbage import Collected, ObjectCollector
from app.objects.lock import ObjectLock, create_object_lock
from app.objects.storage import ObjectStore, StoredObject, open_store
from app.records import jobs
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.jobs import NewJob
from app.records.references import find_referenced
from app.records.tables import ArtifactRow, DatasetRow, JobRow, ModelRow
from tests.fixtures.databases import migrate

GRACE = 86_400.0
YOUNG, MIDDLE, OLD = 0.0, 0.6 * GRACE, 1.1 * GRACE  # ages, relative to what a put does


@dataclass
class World:
    """Rows, objects and a clock that the test moves."""

    sessions: Sessions
    store: ObjectStore
    lock: ObjectLock
    folder: Path
    later: float = 0.0
    paths: dict[str, Path] = field(default_factory=dict)

    def put(self, content: str) -> str:
        path = self.folder / f"{content}.bin"
        path.write_text(content)
        sha256 = self.store.put_file(path)
        self.paths[sha256] = path
        return sha256

    def collect(self, *, is_dry_run: bool = False) -> Collected:
        collector = ObjectCollector(self.sessions, self.store, self.lock, GRACE)
        return collector.collect(is_dry_run=is_dry_run, now=self.store.now() + self.later)

    def add_model(self, sha256: str, onnx: str | None = None) -> str:
        with self.sessions.begin() as session:
            row = ModelRow(
                id=new_id("mdl"), tenant="t", name="net", version="1", status="ready",
                format="pt2", filename=None, sha256=sha256, num_bytes=1, onnx_sha256=onnx,
                parent_id=None, job_id=None, preprocess=None, class_names=None, report=None,
                error=None, meta={}, created_at=current_time(session), deleted_at=None,
            )  # fmt: skip
            session.add(row)
        return row.id

    def add_dataset(self, sha256: str) -> str:
        with self.sessions.begin() as session:
            row = DatasetRow(
                id=new_id("ds"), tenant="t", name="d", status="ready", format="npz",
                filename=None, sha256=sha256, num_bytes=1, preprocess={}, error=None, meta={},
                summary={}, created_at=current_time(session), deleted_at=None,
            )  # fmt: skip
            session.add(row)
        return row.id

    def add_job(self, **values: str) -> str:
        with self.sessions.begin() as session:
            new = NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3, **values)  # type: ignore[arg-type]
            return jobs.create_job(session, new).id

    def change(self, kind: type, row_id: str, **values: object) -> None:
        with self.sessions.begin() as session:
            for name, value in values.items():
                setattr(session.get_one(kind, row_id), name, value)


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with a_world(f"file://{tmp_path / 'objects'}", StorageSettings(), database_url, tmp_path) as w:
        yield w


@pytest.fixture(params=["folder", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    url, settings = f"file://{tmp_path / 'objects'}", StorageSettings()
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        url = f"s3://{server.bucket}/{tmp_path.name}"
        settings = StorageSettings(
            endpoint=server.endpoint,
            region="us-east-1",
            access_key_id=SecretStr("test"),
            secret_access_key=SecretStr("test"),
        )
    with a_world(url, settings, f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as w:
        yield w


@contextmanager
def a_world(
    url: str, settings: StorageSettings, database_url: str, folder: Path
) -> Iterator[World]:
    engine = create_database(database_url)
    migrate(engine)
    lock = create_object_lock(engine, wait_seconds=0.3)
    world = World(create_sessions(engine), open_store(url, settings, lock.shared), lock, folder)
    world.store._clock = lambda: world.store.now() + world.later
    yield world
    engine.dispose()


def test_an_orphan_is_removed_only_when_it_is_old(any_store: World) -> None:
    sha256 = any_store.put("orphan")
    any_store.later = 0.9 * GRACE
    kept = any_store.collect()
    assert (kept.num_objects, kept.num_young, kept.num_removed) == (1, 1, 0)
    any_store.later = OLD
    assert any_store.collect(is_dry_run=True).num_removed == 1
    assert any_store.store.has(sha256)
    gone = any_store.collect()
    assert (gone.num_removed, gone.num_bytes_removed) == (1, len("orphan"))
    assert not any_store.store.has(sha256)
    assert any_store.collect().num_objects == 0


def test_referenced_objects_stay(any_store: World) -> None:
    names = ["model", "onnx", "data", "artifact"]
    model, onnx, data, artifact = hashes = [any_store.put(name) for name in names]
    any_store.add_model(model, onnx)
    any_store.add_dataset(data)
    job_id = any_store.add_job()
    with any_store.sessions.begin() as session:
        row = ArtifactRow(
            id=new_id("art"), tenant="t", job_id=job_id, name="a", media_type="x/y",
            sha256=artifact, num_bytes=1, created_at=current_time(session),
        )  # fmt: skip
        session.add(row)
    any_store.later = OLD
    assert any_store.collect().num_removed == 0
    assert all(any_store.store.has(sha256) for sha256 in hashes)


def test_a_repeated_put_renews_the_age(any_store: World) -> None:
    sha256 = any_store.put("twice")
    any_store.later = MIDDLE
    before = any_store.store.find(sha256)
    assert before is not None
    # The store's clock cannot be moved, so look at whether it was written, not at when.
    written: list[str] = []
    put = any_store.store._put
    any_store.store._put = lambda path, sha: (written.append(sha), put(path, sha))[1]  # type: ignore[method-assign]
    any_store.put("twice")
    assert written == [sha256]
    any_store.later = YOUNG
    any_store.put("twice")
    assert written == [sha256]
    after = any_store.store.find(sha256)
    assert after is not None
    assert after.modified_at >= before.modified_at


def test_the_list_has_every_object_and_nothing_else(any_store: World) -> None:
    hashes = {any_store.put(str(number)) for number in range(5)}
    assert any_store.store.now() > 0  # leaves nothing behind
    found = list(any_store.store.list())
    assert {each.sha256 for each in found} == hashes
    assert {each.num_bytes for each in found} == {1}
    now = any_store.store.now()
    assert all(abs(now - each.modified_at) < 60 for each in found)


def test_foreign_files_are_kept_and_interrupted_puts_removed(world: World) -> None:
    sha256 = world.put("whole")
    folder = world.folder / "objects" / "sha256"
    strange = folder / "aa" / "notes.txt"
    cut_off = folder / sha256[:2] / f"{'b' * 64}#3"
    strange.parent.mkdir(exist_ok=True)
    for path in (strange, cut_off):
        path.write_text("x")
    world.collect()
    assert cut_off.exists()  # young: its put may be under way
    world.later = OLD
    assert world.collect().num_unfinished == 1
    assert strange.exists()
    assert not cut_off.exists()


def test_deleted_models_and_data_sets_need_nothing(world: World) -> None:
    shared, onnx, data = (world.put(name) for name in ("shared", "onnx", "data"))
    first, second = world.add_model(shared, onnx), world.add_model(shared)
    dataset = world.add_dataset(data)
    world.change(ModelRow, first, deleted_at=1.0)
    world.change(DatasetRow, dataset, deleted_at=1.0)
    world.later = OLD
    assert world.collect().num_removed == 2
    assert world.store.has(shared)  # the other model's
    world.change(ModelRow, second, deleted_at=1.0)
    assert world.collect().num_removed == 1


def test_a_deleted_model_keeps_its_file_while_the_deletion_can_be_undone(world: World) -> None:
    model, data = world.put("model"), world.put("data")
    model_id, dataset_id = world.add_model(model), world.add_dataset(data)
    with world.sessions() as session:
        now = current_time(session)
    world.change(ModelRow, model_id, deleted_at=now - 10)
    world.change(DatasetRow, dataset_id, deleted_at=now - 1000)
    with world.sessions() as session:
        assert find_referenced(session, [model, data], undo_seconds=100) == {model}
    world.later = OLD
    collector = ObjectCollector(world.sessions, world.store, world.lock, GRACE, undo_seconds=100)
    assert collector.collect(now=world.store.now() + OLD).num_removed == 1
    assert world.store.has(model)


def test_a_job_that_has_not_ended_keeps_its_inputs_and_its_checkpoint(world: World) -> None:
    names = ("model", "onnx", "data", "part", "int8")
    model, onnx, data, part, int8 = hashes = [world.put(name) for name in names]
    model_id, dataset_id = world.add_model(model, onnx), world.add_dataset(data)
    world.change(ModelRow, model_id, int8_sha256=int8)
    job_id = world.add_job(model_id=model_id, dataset_id=dataset_id)
    checkpoint = {"attempt": 1, "files": {"weights.safetensors": part}}
    world.change(JobRow, job_id, checkpoint=checkpoint, state=JobState.PAUSED)
    world.change(ModelRow, model_id, deleted_at=1.0)
    world.change(DatasetRow, dataset_id, deleted_at=1.0)
    world.later = OLD
    with world.sessions() as session:
        assert find_referenced(session, [*hashes, "0" * 64]) == set(hashes)
    assert world.collect().num_removed == 0
    world.change(JobRow, job_id, state=JobState.CANCELLED)
    assert world.collect().num_removed == len(hashes)


def test_a_put_of_an_old_object_and_the_collector_exclude_each_other(
    world: World,
) -> None:
    world.put("contended")
    world.later = OLD
    with world.lock.alone(), pytest.raises(UnavailableError, match="lock"):
        world.put("contended")
    with world.lock.shared():
        world.put("contended")  # puts share it
        with pytest.raises(UnavailableError, match="lock"):
            world.collect()
    with world.lock.alone():
        world.put("new")  # puts of new objects do not take it
    assert world.collect().num_removed == 2


def test_a_collector_that_stops_before_its_delete_does_no_harm(world: World) -> None:
    """It freezes between its last check and the delete, while the object is stored again."""
    sha256 = world.put("frozen")
    world.later = OLD
    at_delete, go_on = Event(), Event()
    delete = world.store.delete

    def slow_delete(name: str) -> None:
        at_delete.set()
        assert go_on.wait(10)
        delete(name)

    world.store.delete = slow_delete  # type: ignore[method-assign]
    collecting = Thread(target=world.collect)
    collecting.start()
    assert at_delete.wait(10)
    with pytest.raises(UnavailableError):
        world.put("frozen")  # refused, and not: told that it is there
    go_on.set()
    collecting.join()
    world.put("frozen")
    world.add_model(sha256)
    assert world.store.has(sha256)


class History:
    """A world with a store clock that the test moves, and its random history."""

    def __init__(self, world: World, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world, self.chance, self.time = world, random.Random(seed), 0.0  # noqa: S311
        self.collector = ObjectCollector(world.sessions, world.store, world.lock, GRACE)
        self.born: dict[str, float] = {}
        self.pending: list[tuple[float, str]] = []  # to be committed by then, and what was put
        self.models: dict[str, str] = {}
        self.num_removed = 0
        store = world.store
        self.list, self.find, self.put = store.list, store.find, store._put
        monkeypatch.setattr(store, "_put", self.put_and_note)
        monkeypatch.setattr(store, "find", self.find_dated)
        monkeypatch.setattr(store, "list", self.list_dated)
        monkeypatch.setattr(store, "_clock", lambda: self.time)

    def put_and_note(self, path: Path, sha256: str) -> None:
        self.put(path, sha256)
        self.born[sha256] = self.time

    def find_dated(self, sha256: str) -> StoredObject | None:
        found = self.find(sha256)
        return found and StoredObject(sha256, found.num_bytes, self.born[sha256])

    def list_dated(self) -> Iterator[StoredObject]:
        dated = (self.find_dated(found.sha256) for found in list(self.list()))
        return (found for found in dated if found is not None)

    def step(self) -> None:
        choice = self.chance.random()
        if choice < 0.4:
            sha256 = self.world.put(f"content {self.chance.randrange(8)}")
            if self.chance.random() < 0.7:  # else its process is killed before it commits
                self.pending.append((self.time + self.chance.uniform(0, GRACE / 2), sha256))
        elif choice < 0.55 and self.models:
            model_id = self.chance.choice(list(self.models))
            del self.models[model_id]
            self.world.change(ModelRow, model_id, deleted_at=1.0)
        elif choice < 0.75:
            self.collect()

    def collect(self) -> None:
        self.num_removed += self.collector.collect(now=self.time).num_removed

    def move_clock(self, seconds: float) -> None:
        """Advance the clock, with a collection before each commit at its latest moment."""
        end = self.time + seconds
        for due in sorted(self.pending):
            if due[0] <= end or self.chance.random() < 0.3:
                self.time = max(self.time, min(due[0], end))
                if self.chance.random() < 0.3:
                    self.collect()
                self.models[self.world.add_model(due[1])] = due[1]
                self.pending.remove(due)
        self.time = end

    def check(self) -> None:
        for sha256 in self.models.values():
            assert self.find(sha256) is not None


@pytest.mark.parametrize("seed", range(6))
def test_referenced_objects_are_never_missing_in_any_order_of_events(
    world: World, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random puts, commits, deletes and collections, with the store's clock moved in between."""
    history = History(world, seed, monkeypatch)
    for _ in range(150):
        history.step()
        history.move_clock(history.chance.choice([0.0, 0.1, 0.4, 1.2]) * GRACE)
        history.check()
    history.pending.clear()
    history.time += 2 * GRACE
    history.collect()
    assert history.num_removed > 0
    assert {found.sha256 for found in history.list()} == set(history.models.values())
    for sha256 in history.models.values():
        content = b"".join(world.store.stream(sha256))
        assert hashlib.sha256(content).hexdigest() == sha256
