"""A full disk ends a job with a clear error or another attempt, and damages nothing."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.cluster import STUB, Cluster, running_cluster
from tests.faults.parts import SmallDisk, small_disk
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
def test_a_full_disk(  # three fixtures and three parameters
    cluster: Cluster,
    model: str,
    disks: dict[str, SmallDisk],
    disk: str,
    num_bytes_left: int,
    seed: int,
) -> None:
    """Every ``seed`` is new, so the files of its job are not in the store yet."""
    disks[disk].fill(num_bytes_left=num_bytes_left)
    try:
        job_id = cluster.post(model, seed)
        found = cluster.wait_for_first_attempt(job_id)
        assert_nothing_half_written(disks["objects"].folder)
    finally:
        disks[disk].free()
    if found["state"] == "queued":
        found = cluster.wait_for_state(job_id, "succeeded", "failed")
    if found["state"] == "failed":
        assert found["error"]["code"] == "storage_unavailable", found["error"]
    else:
        cluster.check_effects_once(job_id)
    for name in ("jobs", "intake", "api", "scheduler"):
        assert cluster.is_running(name)
    following = cluster.post(model, seed)
    cluster.wait_for_state(following, "succeeded")
    cluster.check_effects_once(following)
    assert cluster.job(following)["attempt"] == 1
    assert_nothing_half_written(disks["objects"].folder)


def assert_nothing_half_written(folder: Path) -> None:
    """Assert that every readable object has the hash in its name."""
    # The store writes beside the name (`name#1`) and renames; such a file is no object.
    paths = [p for p in folder.rglob("*") if p.is_file() and len(p.name) == 64]
    assert paths
    for path in paths:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
