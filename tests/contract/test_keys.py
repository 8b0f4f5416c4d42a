"""API keys on SQLite and PostgreSQL: creation, rotation, expiry, revocation."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.contracts.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
)
from app.keys.cache import KeyCache
from app.keys.last_use import LastUse
from app.keys.service import (
    Principal,
    authenticate,
    create_key,
    list_keys,
    revoke_key,
    rotate_key,
)
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.tables import ApiKeyRow
from tests.fixtures.databases import migrate


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def is_good(sessions: Sessions, plaintext: str) -> bool:
    try:
        authenticate(sessions, plaintext)
    except UnauthenticatedError:
        return False
    return True


def change(sessions: Sessions, key_id: str, **values: float | None) -> None:
    with sessions.begin() as session:
        row = session.get_one(ApiKeyRow, key_id)
        for name, value in values.items():
            setattr(row, name, value)


def test_a_key_is_good_until_it_expires_or_is_revoked(sessions: Sessions) -> None:
    row, key = create_key(sessions, "acme", "test", ["infer", "jobs:read"], 3600)
    found, now = authenticate(sessions, key)
    assert (found.id, found.tenant, found.scopes) == (row.id, "acme", ["jobs:read", "infer"])
    assert found.expires_at == pytest.approx(now + 3600, abs=60)
    assert key.split("_", 2)[2] not in str(vars(found))  # the secret is nowhere
    change(sessions, row.id, expires_at=now - 1)
    assert not is_good(sessions, key)
    change(sessions, row.id, expires_at=None)
    assert is_good(sessions, key)
    revoked_at = revoke_key(sessions, row.id).revoked_at
    assert not is_good(sessions, key)
    assert revoke_key(sessions, row.id).revoked_at == revoked_at


@pytest.mark.parametrize(
    ("tenant", "scopes", "seconds", "words"),
    [
        ("a", ["jobs"], None, "no scope 'jobs'; the scopes are models:read, .*admin"),
        ("a", [], None, "needs a scope"),
        ("a b", ["infer"], None, "tenant 'a b'"),
        ("", ["infer"], None, "tenant ''"),
        ("a", ["infer"], 0, "expire in 0 seconds"),
    ],
)
def test_invalid_keys_are_refused(
    tenant: str, scopes: list[str], seconds: float | None, words: str, sessions: Sessions
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        create_key(sessions, tenant, "test", scopes, seconds)
    assert list_keys(sessions) == []


def test_a_scope_is_needed_and_admin_has_them_all() -> None:
    Principal("a", frozenset({"infer"})).require("infer")
    Principal("a", frozenset({"admin"})).require("infer")
    with pytest.raises(ForbiddenError, match="'models:write'"):
        Principal("a", frozenset({"infer"})).require("models:write")


def test_rotation_leaves_the_old_key_an_overlap(sessions: Sessions) -> None:
    first, key = create_key(sessions, "acme", "robot", ["infer"], 1000)
    old, new, successor = rotate_key(sessions, first.id, overlap_seconds=60)
    assert is_good(sessions, key)
    assert is_good(sessions, successor)
    assert old.replaced_by == new.id
    assert (new.tenant, new.name, new.scopes) == ("acme", "robot", ["infer"])
    assert old.expires_at is not None
    assert new.expires_at is not None
    assert old.expires_at == pytest.approx(new.created_at + 60, abs=5)
    assert new.expires_at - new.created_at == pytest.approx(1000)
    with pytest.raises(ConflictError, match=new.id):
        rotate_key(sessions, first.id, overlap_seconds=60)
    change(sessions, first.id, expires_at=new.created_at - 1)
    assert not is_good(sessions, key)
    assert is_good(sessions, successor)


def test_an_overlap_does_not_make_a_key_live_longer(sessions: Sessions) -> None:
    row, _ = create_key(sessions, "acme", "robot", ["infer"], 10)
    old, _, _ = rotate_key(sessions, row.id, overlap_seconds=1000)
    assert old.expires_at == row.expires_at


def test_a_dead_or_unknown_key_cannot_be_rotated(sessions: Sessions) -> None:
    row, _ = create_key(sessions, "acme", "robot", ["infer"])
    revoke_key(sessions, row.id)
    with pytest.raises(ConflictError, match="no longer valid"):
        rotate_key(sessions, row.id, overlap_seconds=1)
    for act in (lambda: revoke_key(sessions, "key_x"), lambda: rotate_key(sessions, "key_x", 1)):
        with pytest.raises(NotFoundError, match="key_x"):
            act()


def test_one_of_two_concurrent_rotations_wins(sessions: Sessions) -> None:
    row, _ = create_key(sessions, "acme", "robot", ["infer"])

    def rotate(_: int) -> bool:
        try:
            rotate_key(sessions, row.id, overlap_seconds=60)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(rotate, range(4))) == [False, False, False, True]
    assert len(list_keys(sessions, "acme")) == 2


def test_use_of_a_key_is_recorded_once_a_minute(sessions: Sessions) -> None:
    row, key = create_key(sessions, "acme", "robot", ["infer"])

    def use_at(last_used_at: float | None) -> float | None:
        change(sessions, row.id, last_used_at=last_used_at)
        last_use = LastUse(sessions)
        KeyCache(sessions, last_use=last_use).look_up(key)
        last_use.close()
        with sessions() as session:
            return session.get_one(ApiKeyRow, row.id).last_used_at

    with sessions() as session:
        now = current_time(session)
    assert use_at(None) == pytest.approx(now, abs=60)
    assert use_at(now - 30) == now - 30
    assert use_at(now - 61) == pytest.approx(now, abs=60)


def test_failing_to_record_a_keys_use_blocks_no_request(sessions: Sessions) -> None:
    _, key = create_key(sessions, "acme", "robot", ["infer"])
    away = create_database("sqlite:////nowhere/at/all.db")
    last_use = LastUse(create_sessions(away))
    assert KeyCache(sessions, last_use=last_use).look_up(key).tenant == "acme"
    last_use.close()
    away.dispose()


def test_a_long_answer_ends_when_its_key_does(sessions: Sessions) -> None:
    row, key = create_key(sessions, "acme", "robot", ["infer"])
    now = 100.0
    keys = KeyCache(sessions, lambda: now)
    principal = keys.look_up(key)
    assert keys.is_still_good(principal)
    revoke_key(sessions, row.id)
    now += 0.9
    assert keys.is_still_good(principal)
    now += 0.1
    assert not keys.is_still_good(principal)
    assert keys.is_still_good(Principal("default", frozenset()))  # where none is needed
