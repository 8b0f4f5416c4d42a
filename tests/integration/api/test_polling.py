"""Many polling clients: answers are never stale, and revoked keys stop working."""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.contracts.errors import UnauthenticatedError
from app.jobs.reader import JobReader
from app.keys.cache import KeyCache
from app.records.database import current_time
from app.records.tables import ApiKeyRow, JobRow
from tests.fixtures.api import Api, running_api, zip_bytes


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        yield found


def post_jobs(api: Api, count: int) -> list[str]:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    api.finish_intake(api.queue.rings[-1][0], {}, None)
    posted = [api.client.post("/v1/jobs", json={"model": model}) for _ in range(count)]
    return [str(response.json()["id"]) for response in posted]


class CountingReader(JobReader):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.batches: list[set[str]] = []

    def _fetch(self, ids: Collection[str]) -> Mapping[str, JobRow]:
        self.batches.append(set(ids))
        return super()._fetch(ids)


def test_reads_during_a_query_share_the_next_one(api: Api) -> None:
    ids = post_jobs(api, 5)

    async def ask() -> tuple[CountingReader, list[JobRow | None]]:
        reader = CountingReader(api.sessions)
        first = asyncio.create_task(reader.read(ids[0]))
        while not reader.batches:  # noqa: ASYNC110  # set by a thread
            await asyncio.sleep(0)
        others = [reader.read(each) for each in [*ids[1:], ids[1], "job_missing"]]
        return reader, [await first, *await asyncio.gather(*others)]

    reader, rows = asyncio.run(ask())
    assert reader.batches == [{ids[0]}, {*ids[1:], "job_missing"}]
    assert [row and row.id for row in rows] == [*ids, ids[1], None]


def test_plans_that_wait_share_their_queries_too(api: Api) -> None:
    """256 of them raised another tenant's p99 from 20 to 900 ms, with ten queries a second each."""
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    api.finish_intake(api.queue.rings[-1][0], {}, None)
    reader = CountingReader(api.sessions)
    state = api.client.app.state  # type: ignore[attr-defined]
    state.context = replace(state.context, job_reader=reader)

    def ask(_: int) -> int:
        return api.client.post("/v1/jobs:plan?wait=1", json={"model": model}).status_code

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(ask, range(20))) == {503}
    assert len(set().union(*reader.batches)) == 20
    assert max(map(len, reader.batches)) > 1


def test_an_answer_is_never_older_than_its_request(api: Api) -> None:
    (job,) = post_jobs(api, 1)
    for number in range(20):
        with api.sessions.begin() as session:
            session.get_one(JobRow, job).meta = {"number": str(number)}
        assert api.client.get(f"/v1/jobs/{job}").json()["metadata"] == {"number": str(number)}


def test_a_cancelled_request_does_not_cancel_the_query_for_others(api: Api) -> None:
    (job,) = post_jobs(api, 1)

    async def ask() -> JobRow | None:
        reader = JobReader(api.sessions)
        impatient, patient = (asyncio.create_task(reader.read(job)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    row = asyncio.run(ask())
    assert row is not None
    assert row.id == job


def test_a_database_error_reaches_all_waiting_requests_and_is_not_cached(api: Api) -> None:
    (job,) = post_jobs(api, 1)

    class Failing(JobReader):
        is_broken = True

        def _fetch(self, ids: Collection[str]) -> Mapping[str, JobRow]:
            if self.is_broken:
                raise OSError("gone")
            return super()._fetch(ids)

    async def ask() -> JobRow | None:
        reader = Failing(api.sessions)
        answers = await asyncio.gather(reader.read(job), reader.read(job), return_exceptions=True)
        assert [type(answer) for answer in answers] == [OSError, OSError]
        reader.is_broken = False
        return await reader.read(job)

    assert asyncio.run(ask()) is not None


def test_a_revoked_key_is_refused_after_a_second_at_most(api: Api) -> None:
    now = 100.0

    async def use() -> None:
        nonlocal now
        keys = KeyCache(api.sessions, lambda: now)
        principal = await keys.find(api.key)
        with api.sessions.begin() as session:
            (row,) = session.query(ApiKeyRow).all()
            row.revoked_at = current_time(session)
        now = 100.4
        assert await keys.find(api.key) == principal
        now = 101.0
        for _ in range(2):
            with pytest.raises(UnauthenticatedError):
                await keys.find(api.key)

    asyncio.run(use())


def test_a_wrong_key_is_not_remembered(api: Api) -> None:
    wrong = api.key[:-1] + ("A" if api.key[-1] != "A" else "B")

    async def use() -> None:
        keys = KeyCache(api.sessions)
        await keys.find(api.key)
        for _ in range(2):
            with pytest.raises(UnauthenticatedError):
                await keys.find(wrong)

    asyncio.run(use())
