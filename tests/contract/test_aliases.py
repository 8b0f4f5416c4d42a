"""Aliases on SQLite and PostgreSQL: atomic switches, conditional updates, no dangling targets."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.contracts.errors import ConflictError, NotFoundError
from app.contracts.ids import new_id
from app.http.errors import PreconditionFailedError, PreconditionRequiredError
from app.records.database import (
    Sessions,
    create_database,
    create_sessions,
    current_time,
    reading,
)
from app.records.migrations import downgrade, upgrade
from app.records.names import next_version
from app.records.tables import ModelRow
from app.registry import service
from app.registry.resolve import Registry
from app.registry.schemas import AliasTarget
from tests.fixtures.databases import migrate

KEY = ("t", "net", "production")


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def add_model(
    sessions: Sessions, *, status: str = "ready", tenant: str = "t", name: str = "net"
) -> ModelRow:
    with sessions.begin() as session:
        row = ModelRow(
            id=new_id("mdl"), tenant=tenant, name=name, status=status, format="pt2",
            version=next_version(session, tenant, name), filename=None, sha256="0" * 64,
            num_bytes=1, onnx_sha256="0" * 64, parent_id=None, job_id=None, preprocess=None,
            class_names=None, report=None, error=None, meta={}, created_at=current_time(session),
            deleted_at=None,
        )  # fmt: skip
        session.add(row)
    return row


def put(
    sessions: Sessions,
    weights: dict[str, int],
    if_match: str | None = None,
    if_none_match: str | None = None,
) -> str:
    targets = [AliasTarget(version=version, weight=weight) for version, weight in weights.items()]
    with sessions.begin() as session:
        row, _ = service.put(session, KEY, targets, if_match, if_none_match)
        return service.etag(row)


def targets_of(sessions: Sessions) -> dict[str, int]:
    with reading(sessions) as session:
        return service.find(session, *KEY).targets


def test_the_tables_can_go_and_come_back(sessions: Sessions) -> None:
    engine = sessions.kw["bind"]
    downgrade(engine, "0006")
    upgrade(engine)
    add_model(sessions)
    put(sessions, {"1": 1})


def test_a_change_needs_if_match(sessions: Sessions) -> None:
    for _ in range(2):
        add_model(sessions)
    with pytest.raises(PreconditionFailedError):
        put(sessions, {"1": 1}, if_match="*")
    first = put(sessions, {"1": 1}, if_none_match="*")
    with pytest.raises(PreconditionFailedError):
        put(sessions, {"2": 1}, if_none_match="*")
    with pytest.raises(PreconditionRequiredError):
        put(sessions, {"2": 1})
    second = put(sessions, {"2": 1}, if_match=f'"other", {first}')
    with pytest.raises(PreconditionFailedError):
        put(sessions, {"1": 1}, if_match=first)
    assert targets_of(sessions) == {"2": 1}
    with pytest.raises(PreconditionFailedError), sessions.begin() as session:
        service.delete(session, KEY, first)
    with sessions.begin() as session:
        service.delete(session, KEY, second)
    assert put(sessions, {"1": 1}) not in {first, second}  # a namesake is another alias


def test_rolling_back_returns_to_the_earlier_target(sessions: Sessions) -> None:
    for _ in range(3):
        add_model(sessions)
    put(sessions, {"1": 1})
    with pytest.raises(ConflictError, match="no previous target"), sessions.begin() as session:
        service.roll_back(session, KEY, "*")
    put(sessions, {"1": 9, "2": 1}, "*")
    put(sessions, {"3": 1}, "*")
    for expected in ({"1": 9, "2": 1}, {"3": 1}):
        with sessions.begin() as session:
            service.roll_back(session, KEY, "*")
        assert list(targets_of(sessions).items()) == list(expected.items())
    with reading(sessions) as session:
        history = [change["targets"] for change in service.find(session, *KEY).history]
    assert history == [{"1": 9, "2": 1}, {"3": 1}, {"1": 9, "2": 1}, {"1": 1}]


@pytest.mark.parametrize("weights", [{"9": 1}, {"1": 1, "2": 1}])
def test_an_alias_needs_versions_that_exist_and_are_ready(
    sessions: Sessions, weights: dict[str, int]
) -> None:
    add_model(sessions)
    add_model(sessions, status="rejected")
    with pytest.raises(ConflictError, match=r"no version 9|2 of 'net' is rejected"):
        put(sessions, weights)
    with pytest.raises(NotFoundError):
        targets_of(sessions)


def test_one_of_two_switches_from_the_same_state_is_refused(sessions: Sessions) -> None:
    for _ in range(9):
        add_model(sessions)
    seen = put(sessions, {"1": 1})

    def switch(version: int) -> bool:
        try:
            put(sessions, {str(version): 1}, seen)
        except PreconditionFailedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(switch, range(2, 10)))
    assert won.count(True) == 1
    assert targets_of(sessions) == {str(2 + won.index(True)): 1}


def test_an_alias_never_dangles_under_racing_puts_and_deletes(sessions: Sessions) -> None:
    for _ in range(6):
        row = add_model(sessions)
        with sessions.begin() as session:
            if session.get(service.AliasRow, KEY) is not None:
                service.delete(session, KEY, "*")

        def point(version: str = row.version) -> bool:
            try:
                put(sessions, {version: 1})
            except (ConflictError, NotFoundError):
                return False
            return True

        def remove(model_id: str = row.id) -> bool:
            try:
                with sessions.begin() as session:
                    model = session.get_one(ModelRow, model_id)
                    service.refuse_while_aliased(session, model)
                    model.deleted_at = current_time(session)
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            pointed, removed = pool.submit(point), pool.submit(remove)
        assert pointed.result() != removed.result()


def test_versions_are_counted_once_by_many_at_the_same_moment(sessions: Sessions) -> None:
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda _: add_model(sessions), range(16)))
    assert sorted(int(row.version) for row in rows) == list(range(1, 17))


def test_names_versions_and_aliases_lead_to_models(sessions: Sessions) -> None:
    one, two = add_model(sessions), add_model(sessions)
    for _ in range(8):
        add_model(sessions, status="rejected")
    eleven = add_model(sessions)
    add_model(sessions, tenant="other")
    put(sessions, {"1": 1})
    clock = [0.0]

    async def resolve() -> None:
        registry = Registry(sessions, clock=lambda: clock[0])

        async def found(*reference: str) -> str:
            return (await registry.resolve("t", *reference)).model_id

        assert await found("net") == eleven.id  # the highest by number that is ready
        assert await found("net", "2") == two.id
        assert await found("net", "production") == one.id
        assert await found(one.id) == await found(one.id, "1") == one.id
        for reference in (("nope",), ("net", "99"), ("net", "x"), (one.id, "2"), (one.id, "x")):
            with pytest.raises(NotFoundError):
                await found(*reference)
        with pytest.raises(NotFoundError):
            await registry.resolve("other", one.id)
        put(sessions, {"2": 1}, "*")
        assert await found("net", "production") == one.id  # as another process sees it
        clock[0] = 1.0
        assert await found("net", "production") == two.id
        put(sessions, {"1": 1}, "*")
        registry.forget("t", "net")  # as the process that switched sees it
        many = await asyncio.gather(*[found("net", "production") for _ in range(50)])
        assert set(many) == {one.id}

    asyncio.run(resolve())


def test_a_canary_gets_its_share_and_the_same_request_the_same_version(sessions: Sessions) -> None:
    for _ in range(2):
        add_model(sessions)
    put(sessions, {"1": 90, "2": 10})

    async def ask(weight: int) -> dict[str, str]:
        registry = Registry(sessions)
        put(sessions, {"1": 100 - weight, "2": weight}, "*")
        return {
            str(n): (await registry.resolve("t", "net", "production", str(n))).version
            for n in range(1000)
        }

    before, again, more = (asyncio.run(ask(weight)) for weight in (10, 10, 20))
    assert before == again
    assert Counter(before.values())["2"] == pytest.approx(100, abs=35)
    assert Counter(more.values())["2"] == pytest.approx(200, abs=45)
    assert all(more[n] == "2" for n, version in before.items() if version == "2")
