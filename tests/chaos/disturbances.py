"""Faults that a running site outlasts. Each ends its own fault before it returns."""

import time
from collections.abc import Callable

from tests.chaos.site import WORKER, Site
from tests.fixtures.faulty_database import set_clock_back

Disturb = Callable[[Site, float], None]
PROGRAMS = ("api", "intake", "scheduler", WORKER)


def kill_job(site: Site, _seconds: float) -> None:
    site.kill_job()


def kill_worker(site: Site, _seconds: float) -> None:
    site.cluster.kill(WORKER)
    site.start_worker()


def kill_scheduler(site: Site, seconds: float) -> None:
    site.cluster.kill("scheduler")
    time.sleep(seconds)
    site.cluster.start_scheduler()


def kill_api(site: Site, seconds: float) -> None:
    site.cluster.kill("api")
    time.sleep(seconds)
    site.cluster.start_api()


def kill_redis(site: Site, seconds: float) -> None:
    site.redis.kill()
    time.sleep(seconds)
    site.redis.start()


def kill_all(site: Site, seconds: float) -> None:
    for name in PROGRAMS:
        site.cluster.kill(name)
    site.redis.kill()
    site.postgresql.stop_immediately()
    time.sleep(seconds)
    site.postgresql.start()
    site.redis.start()
    site.cluster.start_api()
    site.cluster.start_intake()
    site.cluster.start_scheduler()
    site.start_worker()


def cut_store(site: Site, seconds: float) -> None:
    site.store.cut()
    time.sleep(seconds)
    site.store.heal()


def cut_store_in_a_file(site: Site, seconds: float) -> None:
    site.store.cut_after(20_000)
    time.sleep(seconds)
    site.store.heal()


def fill_scratch(site: Site, seconds: float) -> None:
    site.scratch.fill()
    time.sleep(seconds)
    site.scratch.free()


def stop_database(site: Site, seconds: float) -> None:
    site.postgresql.stop_immediately()
    time.sleep(seconds)
    site.postgresql.start()


def freeze_database(site: Site, seconds: float) -> None:
    site.postgresql.freeze()
    time.sleep(seconds)
    site.postgresql.wake()


def silence_database(site: Site, seconds: float) -> None:
    """Leave all connections open and silent."""
    for proxy in (site.database, site.worker_database):
        proxy.silence()
    time.sleep(seconds)
    for proxy in (site.database, site.worker_database):
        proxy.cut()
        proxy.heal()


def silence_database_of_worker(site: Site, seconds: float) -> None:
    """Leave the worker's connections open and silent, while others see its lease end."""
    site.worker_database.silence()
    time.sleep(seconds)
    site.worker_database.cut()
    site.worker_database.heal()


def part_and_kill_worker(site: Site, seconds: float) -> None:
    """Let epochs end that the worker cannot write, and kill it."""
    site.worker_database.cut()
    time.sleep(seconds)
    site.cluster.kill(WORKER)
    site.worker_database.heal()
    site.start_worker()


def lose_commits(site: Site, seconds: float) -> None:
    site.worker_database.lose_commits(3)
    site.database.lose_commits(3)
    time.sleep(seconds)
    site.worker_database.heal()
    site.database.heal()


def set_clock_back_an_hour(site: Site, _seconds: float) -> None:
    set_clock_back(site.engine, 3600)


DISTURBANCES: dict[str, Disturb] = {
    each.__name__: each
    for each in (
        kill_job,
        kill_worker,
        kill_scheduler,
        kill_api,
        kill_redis,
        kill_all,
        cut_store,
        cut_store_in_a_file,
        fill_scratch,
        stop_database,
        freeze_database,
        silence_database,
        silence_database_of_worker,
        part_and_kill_worker,
        lose_commits,
        set_clock_back_an_hour,
    )
}
OUTAGES = (
    "kill_redis",
    "kill_scheduler",
    "kill_api",
    "cut_store",
    "fill_scratch",
    "stop_database",
    "freeze_database",
    "silence_database",
)
