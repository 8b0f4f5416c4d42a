"""A full disk fails no job, damages nothing, and one full worker leaves the jobs to the others."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.cluster import STUB, Cluster, running_cluster
from tests.faults.parts import SmallDisk, small_disk, wait_for
from tests.faults.stub_pipeline import PROGRAM_BYTES

DISK_BYTES = 32 * 1024**2


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SmallDisk]]:
    if os.geteuid() != 0 and "CI" not in os.environ:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path_factory.mktemp("full")
    with ExitStack() as stack:
        yield {
            "scratch": stack.enter_context(small_disk(folder / "jobs" / "scratch", DISK_BYTES)),
            "objects": stack.enter_context(small_disk(folder / "objects", DISK_BYTES)),
        }


@pytest.fixture(scope="module")
def cluster(disks: dict[str, SmallDisk], redis_url: str) -> Iterator[Cluster]:
    objects = disks["objects"].folder
    settings = {
        "DATABASE__URL": f"sqlite:///{objects.parent / 'secateur.db'}",
        "QUEUE__URL": redis_url,
        "STORAGE__URL": f"file://{objects}",
    }
    with running_cluster(objects.parent, STUB, **settings) as found:
        found.start_api()
        found.start_intake()
        found.start_worker("jobs", "cpu")
        found.start_scheduler()
        yield found


@pytest.fixture(scope="module")
def model(cluster: Cluster) -> str:
    return cluster.upload_model()


@pytest.mark.parametrize(
    ("disk", "num_bytes_left", "seed"),
    [
        ("scratch", 0, 11),
        ("scratch", PROGRAM_BYTES // 2, 12),
        ("objects", 0, 13),
        ("objects", PROGRAM_BYTES // 2, 14),
    ],
    ids=["scratch", "scratch-in-the-middle", "objects", "objects-in-the-middle"],
)
def test_a_job_outlasts_a_full_disk(  # three fixtures and three parameters
    cluster: Cluster,
    model: str,
    disks: dict[str, SmallDisk],
    disk: str,
    num_bytes_left: int,
    seed: int,
) -> None:
    """Every ``seed`` is new: the files of its job are not in the store yet."""
    event = "worker.rests" if disk == "scratch" else "store.away"
    before = cluster.log("jobs").count(event)
    disks[disk].fill(num_bytes_left=num_bytes_left)
    try:
        job_id = cluster.post(model, seed)
        wait_for(lambda: cluster.log("jobs").count(event) > before + 1, 60, "the worker waits")
        assert_nothing_half_written(disks["objects"].folder)
    finally:
        disks[disk].free()
    cluster.wait_for_state(job_id, "succeeded")
    assert cluster.job(job_id)["attempt"] == 1
    cluster.check_effects_once(job_id)
    for name in ("jobs", "intake", "api", "scheduler"):
        assert cluster.is_running(name)
    assert_nothing_half_written(disks["objects"].folder)


def test_a_worker_with_a_full_disk_leaves_every_job_to_the_other(
    cluster: Cluster, model: str, disks: dict[str, SmallDisk]
) -> None:
    cluster.start_worker("other", "cpu")
    disks["scratch"].fill()
    try:
        job_ids = [cluster.post(model, seed) for seed in range(1, 9)]
        for job_id in job_ids:
            cluster.wait_for_state(job_id, "succeeded")
    finally:
        disks["scratch"].free()
    assert {cluster.job(job_id)["attempt"] for job_id in job_ids} == {1}


def assert_nothing_half_written(folder: Path) -> None:
    """Assert that every readable object has the hash in its name."""
    # The store writes beside the name (`name#1`) and renames; such a file is no object.
    paths = [p for p in folder.rglob("*") if p.is_file() and len(p.name) == 64]
    assert paths
    for path in paths:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
