"""The service on PostgreSQL and S3, in separate programs, with a proxy before each server."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from sqlalchemy import Engine

from app.records.database import create_database
from tests.chaos.processes import find_job, send
from tests.chaos.promises import Trace, read_trace
from tests.faults.cluster import REAL, Cluster, running_cluster
from tests.faults.parts import (
    PostgreSQL,
    Proxy,
    Redis,
    SmallDisk,
    running_own_redis,
    small_disk,
    wait_for,
)
from tests.fixtures.service import FINAL, images, npz_bytes, trained_model_bytes
from tests.fixtures.services import S3Server, fresh_postgresql_url, running_s3

WORKER = "jobs"
SCRATCH_BYTES = 256 * 1024**2
DEADLINE_SECONDS = 600


@dataclass
class Site:
    """Programs, servers and the proxies between them.

    Attributes:
        cluster: The programs. The worker of pruning jobs is `WORKER`.
        engine: A connection to the database that no fault reaches.
        postgresql: The database server.
        redis: The queue.
        s3: The store, behind `store`.
        store: Proxy of all programs.
        database: Proxy of all programs but the worker.
        worker_database: Proxy of the worker.
        scratch: The worker's scratch disk.
        model: Id of the model that jobs prune.
        dataset: Id of their data set.
    """

    cluster: Cluster
    engine: Engine
    postgresql: PostgreSQL
    redis: Redis
    s3: S3Server
    store: Proxy
    database: Proxy
    worker_database: Proxy
    scratch: SmallDisk
    model: str = ""
    dataset: str = ""

    def start_worker(self) -> None:
        """Start the worker of pruning jobs; it has one slot."""
        self.cluster.start_worker(WORKER, "cpu")

    def kill_job(self) -> None:
        """Kill the process of the job that runs, if there is one."""
        job = find_job(self.cluster.pid(WORKER))
        if job is not None:
            send(job.pid, signal.SIGKILL)

    def post(self, config: dict[str, Any]) -> str:
        body = {"model": self.model, "dataset": self.dataset, "config": config}
        response = self.cluster.client.post("/v1/jobs", json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def wait(self, job_id: str, seconds: float = DEADLINE_SECONDS) -> Trace:
        """Return what a job left when it has ended, or as it is after the deadline."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.cluster.job(job_id)["state"] not in FINAL:
            time.sleep(0.1)
        return read_trace(self.engine, job_id)

    def forget_files(self, trace: Trace) -> None:
        """Delete the objects of a job's artifacts, so that the next such job uploads its own."""
        client: Any = boto3.client(
            "s3",
            endpoint_url=self.s3.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106
        )
        found = client.list_objects_v2(Bucket=self.s3.bucket).get("Contents", [])
        for item in found:
            if item["Key"].rpartition("/")[2] in trace.sha256.values():
                client.delete_object(Bucket=self.s3.bucket, Key=item["Key"])


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Start everything with default settings, and upload a model and a data set."""
    assert os.geteuid() == 0, "only root may mount a small disk"
    with ExitStack() as stack:
        postgresql = PostgreSQL(folder / "postgresql")
        stack.callback(postgresql.close)
        redis = stack.enter_context(running_own_redis(_made(folder / "redis")))
        s3 = stack.enter_context(running_s3())
        url = fresh_postgresql_url(postgresql.url)
        store, database, worker_database = (
            Proxy(s3.endpoint),
            Proxy(_socket_of(url)),
            Proxy(_socket_of(url)),
        )
        for proxy in (store, database, worker_database):
            stack.callback(proxy.close)
        scratch = stack.enter_context(
            small_disk(folder / "cluster" / WORKER / "scratch", SCRATCH_BYTES)
        )
        settings = {
            "DATABASE__URL": url,
            "QUEUE__URL": redis.url,
            "STORAGE__URL": f"s3://{s3.bucket}/chaos",
            "STORAGE__ENDPOINT": store.url,
            "STORAGE__REGION": "us-east-1",
            "STORAGE__ACCESS_KEY_ID": "test",
            "STORAGE__SECRET_ACCESS_KEY": "test",
            "WORKER__LATENCY_SECONDS": "0.05",
        }
        cluster = stack.enter_context(running_cluster(folder / "cluster", REAL, {}, **settings))
        for name in ("api", "intake", "scheduler"):
            cluster.own_settings[name] = {"DATABASE__URL": _through(database, url)}
        cluster.own_settings[WORKER] = {"DATABASE__URL": _through(worker_database, url)}
        engine = create_database(url)
        stack.callback(engine.dispose)
        site = Site(
            cluster, engine, postgresql, redis, s3, store, database, worker_database, scratch
        )
        cluster.start_api()
        cluster.start_intake()
        cluster.start_scheduler()
        site.start_worker()
        _upload(site)
        yield site


def _upload(site: Site) -> None:
    site.model = site.cluster.upload_model(trained_model_bytes())
    x, y = images()
    params, client = {"filename": "d.npz"}, site.cluster.client
    response = client.post("/v1/datasets", content=npz_bytes(x=x, y=y), params=params)
    assert response.status_code == 201, response.text
    site.dataset = str(response.json()["id"])
    path = f"/v1/datasets/{site.dataset}"
    wait_for(lambda: client.get(path).json()["status"] == "ready", 120, "the data set is ready")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _socket_of(url: str) -> str:
    (folder,) = parse_qs(urlsplit(url).query)["host"]
    return f"{folder}/.s.PGSQL.5432"


def _through(proxy: Proxy, url: str) -> str:
    return f"postgresql://postgres@127.0.0.1:{proxy.port}{urlsplit(url).path}"
