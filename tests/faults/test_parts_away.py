"""Redis, PostgreSQL or the object store stop in the middle of a job and come back."""

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest

from tests.faults.cluster import STUB, Cluster, running_cluster
from tests.faults.parts import PostgreSQL, Proxy, Redis, running_own_redis, wait_for
from tests.fixtures.services import S3Server, fresh_postgresql_url

AWAY_SECONDS = 8  # twice a lease
LONG, SHORT = 60, 0  # tenths of a second


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running_own_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(s3_server: S3Server) -> Iterator[Proxy]:
    found = Proxy(s3_server.endpoint)
    yield found
    found.close()


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory,
    postgresql: PostgreSQL,
    own_redis: Redis,
    proxy: Proxy,
    s3_server: S3Server,
) -> Iterator[Cluster]:
    settings = {
        "DATABASE__URL": fresh_postgresql_url(postgresql.url),
        "QUEUE__URL": own_redis.url,
        "STORAGE__URL": f"s3://{s3_server.bucket}/faults",
        "STORAGE__ENDPOINT": proxy.url,
        "STORAGE__REGION": "us-east-1",
        "STORAGE__ACCESS_KEY_ID": "test",
        "STORAGE__SECRET_ACCESS_KEY": "test",
    }
    with running_cluster(tmp_path_factory.mktemp("cluster"), STUB, **settings) as found:
        found.start_api()
        found.start_intake()
        found.start_worker("jobs", "cpu")
        found.start_scheduler()
        yield found


@pytest.fixture(scope="module")
def model(cluster: Cluster) -> str:
    return cluster.upload_model()


@pytest.fixture(autouse=True)
def survivors(cluster: Cluster, model: str) -> Iterator[None]:
    """Check after every fault that all programs live and the next job succeeds."""
    yield
    for name in ("api", "jobs", "intake", "scheduler"):
        assert cluster.is_running(name), cluster.log_path(name).read_text()[-3000:]
    wait_for(lambda: answer(cluster, "/readyz").is_success, 60, "the API is ready")
    job_id = cluster.post(model, SHORT)
    cluster.wait_for_state(job_id, "succeeded")
    assert cluster.job(job_id)["attempt"] == 1
    cluster.check_effects_once(job_id)


def answer(cluster: Cluster, path: str) -> httpx.Response:
    """Return the answer; an API that hangs is a failure."""
    return cluster.client.get(path, timeout=30)


def assert_problem(response: httpx.Response) -> None:
    assert response.status_code in {500, 503}, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] in {"unavailable", "internal"}


def test_a_job_survives_a_killed_redis(cluster: Cluster, model: str, own_redis: Redis) -> None:
    running = cluster.post(model, LONG)
    cluster.wait_for_step(running)
    own_redis.kill()
    try:
        waiting = cluster.post(model, SHORT)  # the row is what counts
        ready = answer(cluster, "/readyz")
        assert ready.is_success, "models are still served, so it stays in the balancer"
        assert (ready.json()["status"], ready.json()["queue"]) == ("degraded", "away")
        cluster.wait_for_state(running, "succeeded")
    finally:
        own_redis.start()
    assert cluster.job(running)["attempt"] == 1, "a job needs no queue while it runs"
    cluster.wait_for_state(waiting, "succeeded")
    for job_id in (running, waiting):
        cluster.check_effects_once(job_id)


def test_a_job_survives_a_postgresql_restart(
    cluster: Cluster, model: str, postgresql: PostgreSQL
) -> None:
    job_id = cluster.post(model, LONG)
    cluster.wait_for_step(job_id)
    postgresql.stop_immediately()
    postgresql.start()
    cluster.wait_for_state(job_id, "succeeded")
    assert cluster.job(job_id)["attempt"] == 1
    assert cluster.num_claims(job_id) == 1, "its lease was renewed"
    cluster.check_effects_once(job_id)


def test_a_job_survives_a_postgresql_outage_past_the_lease(
    cluster: Cluster, model: str, postgresql: PostgreSQL
) -> None:
    job_id = cluster.post(model, LONG)
    cluster.wait_for_step(job_id)
    postgresql.stop_immediately()
    end = time.monotonic() + AWAY_SECONDS
    try:
        while time.monotonic() < end:
            assert_problem(answer(cluster, f"/v1/jobs/{job_id}"))
            assert_problem(answer(cluster, "/readyz"))
            assert_problem(cluster.client.post("/v1/jobs", json={"model": model}))
    finally:
        postgresql.start()
    cluster.wait_for_state(job_id, "succeeded")
    assert cluster.job(job_id)["attempt"] == 1
    assert cluster.num_claims(job_id) == 1, "its lease was renewed"
    cluster.check_effects_once(job_id)


def test_a_job_survives_a_postgresql_that_hangs_past_the_lease(
    cluster: Cluster, model: str, postgresql: PostgreSQL
) -> None:
    job_id = cluster.post(model, LONG)
    cluster.wait_for_step(job_id)
    postgresql.freeze()
    end = time.monotonic() + AWAY_SECONDS
    try:
        assert answer(cluster, "/healthz").is_success
        time.sleep(end - time.monotonic())  # the fault itself
    finally:
        postgresql.wake()
    assert answer(cluster, f"/v1/jobs/{job_id}").is_success
    cluster.wait_for_state(job_id, "succeeded")
    assert cluster.job(job_id)["attempt"] == 1
    assert cluster.num_claims(job_id) == 1, "its lease was renewed"
    cluster.check_effects_once(job_id)


@pytest.mark.parametrize("num_bytes", [0, 1_000_000], ids=["between", "in-the-middle-of-a-file"])
def test_a_finished_job_waits_for_a_missing_object_store(
    cluster: Cluster, model: str, proxy: Proxy, s3_server: S3Server, num_bytes: int
) -> None:
    job_id = cluster.post(model, LONG // 2 + bool(num_bytes))  # files that are not there yet
    cluster.wait_for_step(job_id)
    num_waits = cluster.log("jobs").count("store.away")
    proxy.cut_after(num_bytes) if num_bytes else proxy.cut()
    try:
        # In the same time the job used to spend its three attempts.
        wait_for(
            lambda: cluster.log("jobs").count("store.away") >= num_waits + 3, 60, "the job waits"
        )
        assert proxy.is_cut
        assert cluster.job(job_id)["state"] == "running"
        assert_nothing_half_written(s3_server)
    finally:
        proxy.heal()
    cluster.wait_for_state(job_id, "succeeded")
    assert cluster.job(job_id)["attempt"] == 1
    assert cluster.num_claims(job_id) == 1, "its work is not done again"
    cluster.check_effects_once(job_id)
    assert_nothing_half_written(s3_server)


def test_no_job_begins_while_the_object_store_is_away(
    cluster: Cluster, model: str, proxy: Proxy
) -> None:
    num_rests = cluster.log("jobs").count("worker.rests")
    proxy.cut()
    try:
        job_ids = [cluster.post(model, SHORT) for _ in range(3)]
        wait_for(lambda: cluster.log("jobs").count("worker.rests") >= num_rests + 2, 60, "it rests")
        assert {cluster.job(job_id)["state"] for job_id in job_ids} <= {"queued", "running"}
    finally:
        proxy.heal()
    for job_id in job_ids:
        cluster.wait_for_state(job_id, "succeeded")
        assert cluster.job(job_id)["attempt"] == 1
        cluster.check_effects_once(job_id)


def assert_nothing_half_written(server: S3Server) -> None:
    """Assert that every readable object has the hash in its name."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=server.endpoint,  # past the proxy
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106
    )
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=server.bucket)["Contents"]]
    assert keys
    for key in keys:
        body = client.get_object(Bucket=server.bucket, Key=key)["Body"].read()
        assert hashlib.sha256(body).hexdigest() == key.rpartition("/")[2]
