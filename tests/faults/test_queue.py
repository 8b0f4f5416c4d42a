"""Lost messages and two workers on one queue change no result."""

import statistics
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import pytest
from sqlalchemy import text

from tests.faults.cluster import STUB, Cluster, running_cluster
from tests.faults.parts import PostgreSQL, Redis, wait_for
from tests.fixtures.services import fresh_postgresql_url

NUM_FLUSHED, NUM_RACED = 50, 200
MANY_SECONDS = 400


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSQL, redis: Redis
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    settings = {
        "DATABASE__URL": fresh_postgresql_url(postgresql.url),
        "QUEUE__URL": redis.url,
        "STORAGE__URL": f"file://{folder / 'objects'}",
        "WORKER__LEASE_SECONDS": "30",  # nobody dies here, however slow the machine
    }
    with running_cluster(folder, STUB, **settings) as found:
        found.start_api()
        found.start_intake()
        yield found


@pytest.fixture(scope="module")
def model(running: Cluster) -> str:
    return running.upload_model()


@pytest.fixture
def cluster(running: Cluster, redis: Redis) -> Iterator[Cluster]:
    """The API and the intake alone; what a test starts besides is stopped after it."""
    before = running.programs
    yield running
    for name in running.programs - before:
        running.kill(name)
    with redis.client() as client:
        client.flushall()


def num_ended(cluster: Cluster) -> int:
    """Return how many jobs have ended, those of earlier tests too."""
    query = text("SELECT COUNT(*) FROM job WHERE kind = 'prune' AND finished_at IS NOT NULL")
    with cluster.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


@pytest.mark.parametrize("is_busy", [False, True], ids=["no-worker", "busy-worker"])
def test_a_flushed_queue_loses_no_job(
    cluster: Cluster, model: str, redis: Redis, is_busy: bool
) -> None:
    before = num_ended(cluster)
    if is_busy:
        cluster.start_worker("jobs", "cpu")
        cluster.start_scheduler()
        cluster.wait_for_step(cluster.post(model, seed=60))
    ids = [cluster.post(model) for _ in range(NUM_FLUSHED)]
    with redis.client() as client:
        if not is_busy:
            assert client.llen("cpu") == NUM_FLUSHED
        client.flushall()
        assert client.llen("cpu") == 0
    if not is_busy:
        cluster.start_worker("jobs", "cpu")
        cluster.start_scheduler()
    total = NUM_FLUSHED + is_busy
    wait_for(lambda: num_ended(cluster) == before + total, MANY_SECONDS, f"{total} jobs end")
    for job_id in ids:
        assert cluster.job(job_id)["state"] == "succeeded"
        cluster.check_effects_once(job_id)


def test_two_workers_do_every_job_once_and_none_is_idle(cluster: Cluster, model: str) -> None:
    before = num_ended(cluster)
    ids = [cluster.post(model) for _ in range(NUM_RACED)]
    names = ("first", "second")
    for name in names:
        cluster.start_worker(name, "cpu")
        started, _, _ = cluster.log(name).partition(" ready.")
        assert "fork_server.started" in started, "the first job would wait for the server"
    cluster.start_scheduler()
    wait_for(lambda: num_ended(cluster) == before + NUM_RACED, MANY_SECONDS, "every job ends")
    rows = [cluster.job(job_id) for job_id in ids]
    assert {row["state"] for row in rows} == {"succeeded"}
    assert {row["attempt"] for row in rows} == {1}, "no lease was lost: each ran once"
    for job_id in ids:
        cluster.check_effects_once(job_id)
    spans = defaultdict(list)
    for row in rows:
        worker = row["result"]["summary"]["worker"]
        spans[worker].append((row["started_at"], row["finished_at"]))
    assert len(spans) == len(names), "each worker has one fork server"
    check_never_idle(dict(spans))


def check_never_idle(spans: dict[int, list[tuple[float, float]]]) -> None:
    """Check that neither worker idles while jobs wait.

    The order of rows, not a time: a slow machine slows both.
    """
    first, second = (sorted(each) for each in spans.values())
    for mine, others in ((first, second), (second, first)):
        both_work = max(mine[0][0], others[0][0])
        last_start = max(mine[-1][0], others[-1][0])
        for (_, finished), (started, _) in pairwise(mine):
            if finished < both_work or started > last_start:
                continue
            passed_by = sum(finished < begun and done < started for begun, done in others)
            assert passed_by <= 10, "it sat idle while the other worked the queue off"
        assert len(mine) >= NUM_RACED / 4
    gaps = [b[0] - a[1] for mine in (first, second) for a, b in pairwise(mine)]
    works = [done - begun for mine in (first, second) for begun, done in mine]
    # Very generous: claiming and leaving a job take less than five times a job.
    assert statistics.median(gaps) < 5 * statistics.median(works)
