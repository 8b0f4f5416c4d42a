"""Resolution of model references: an id, a name, a version or an alias.

Every inference request resolves one, so results are cached for a second. For that long, other API
processes may use an alias's previous target; the process that switched it does not.
"""

import hashlib
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.contracts.errors import NotFoundError
from app.contracts.suggestions import suggestion
from app.records.database import Sessions, reading
from app.records.lookup import known_names
from app.records.tables import AliasRow, ModelRow
from app.ttl_cache import TtlCache

_TTL_SECONDS = 1.0
LATEST = "latest"  # the newest version, unless an alias has this name
_ID = re.compile(r"mdl_[0-9A-Z]{26}")


@dataclass(frozen=True)
class Choice:
    """Candidate version for a request.

    Attributes:
        model_id: Id of the model's row.
        name: Name of the model.
        version: Version under the name.
        weight: Share of requests relative to the alias's other versions.
    """

    model_id: str
    name: str
    version: str
    weight: int = 1


class Registry:
    """Resolver of names, cached for a second. For one event loop."""

    def __init__(
        self,
        sessions: Sessions,
        clock: Callable[[], float] = time.monotonic,
        dice: random.Random | None = None,
    ) -> None:
        self._sessions = sessions
        self._dice = dice or random.Random()  # noqa: S311  # shares of requests, not secrets
        self._known = TtlCache[tuple[str, str, str | None], Sequence[Choice]](
            _TTL_SECONDS, clock=clock
        )

    async def resolve(
        self, tenant: str, name: str, segment: str | None = None, request_id: str | None = None
    ) -> Choice:
        """Return the version that a request gets.

        Args:
            tenant: Owner of the name.
            name: A model's name or id.
            segment: A version or an alias; None: the latest version that is ready.
            request_id: Requests with the same id get the same version of an alias while its
                weights stay; most still do after the weights change.

        Raises:
            NotFoundError: There is no such model, version or alias.
        """
        choices = await self.choices(tenant, name, segment)
        if len(choices) == 1:
            return choices[0]
        if request_id is None:
            point = self._dice.random()
        else:
            digest = hashlib.sha256(f"{name}@{segment}\n{request_id}".encode()).digest()
            point = int.from_bytes(digest[:8], "big") / 2**64
        return choose(choices, point)

    async def choices(self, tenant: str, name: str, segment: str | None = None) -> Sequence[Choice]:
        """Return all versions that a request may get.

        Raises:
            NotFoundError: There is no such model, version or alias.
        """
        key = (tenant, name, segment)
        return await self._known.get(key, partial(self._fetch, *key))

    def forget(self, tenant: str, name: str) -> None:
        """Drop cached results and reads in progress."""
        self._known.forget(lambda key: key[:2] == (tenant, name))

    def _fetch(self, tenant: str, name: str, segment: str | None) -> Sequence[Choice]:
        with reading(self._sessions) as session:
            if _ID.fullmatch(name):
                return _by_id(session, tenant, name, segment)
            if segment is None:
                return _latest(session, tenant, name)
            if segment.isdecimal():
                return _by_versions(session, tenant, name, {segment: 1})
            alias = session.get(AliasRow, (tenant, name, segment))
            if alias is None and segment == LATEST:
                return _latest(session, tenant, name)
            if alias is None:
                raise _not_found(name, segment)
            return _by_versions(session, tenant, name, alias.targets)


def split_reference(reference: str) -> tuple[str, str | None]:
    """Return the name and the version or alias of ``name``, ``name@2`` or ``name@production``."""
    name, at, segment = reference.rpartition("@")
    return (name, segment) if at and name and segment else (reference, None)


def choose(choices: Sequence[Choice], point: float) -> Choice:
    """Return the choice whose weighted interval of [0, 1] holds ``point``."""
    rest = point * sum(choice.weight for choice in choices)
    for choice in choices:
        rest -= choice.weight
        if rest < 0:
            return choice
    return choices[-1]


def _by_id(session: Session, tenant: str, model_id: str, segment: str | None) -> Sequence[Choice]:
    row = session.get(ModelRow, model_id)
    if row is None or row.tenant != tenant or row.deleted_at is not None:
        raise _not_found(model_id, None)
    if segment not in {None, row.version}:
        raise _not_found(model_id, segment)
    return [Choice(row.id, row.name, row.version)]


def _latest(session: Session, tenant: str, name: str) -> Sequence[Choice]:
    query = (
        select(ModelRow.id, ModelRow.version)
        .where(ModelRow.tenant == tenant, ModelRow.name == name, ModelRow.deleted_at.is_(None))
        # Numerically: versions have no leading zeros, so the longer is the higher.
        .order_by(func.length(ModelRow.version).desc(), ModelRow.version.desc())
    )
    ready = query.where(ModelRow.status == "ready").limit(1)
    found = session.execute(ready).first() or session.execute(query.limit(1)).first()
    if found is None:
        raise _not_found(name, None, known_names(session, ModelRow, tenant))
    return [Choice(found.id, name, found.version)]


def _by_versions(
    session: Session, tenant: str, name: str, weights: dict[str, int]
) -> Sequence[Choice]:
    query = select(ModelRow.version, ModelRow.id).where(
        ModelRow.tenant == tenant,
        ModelRow.name == name,
        ModelRow.version.in_(weights),
        ModelRow.deleted_at.is_(None),
    )
    ids = dict(session.execute(query.order_by(ModelRow.id)).all())
    choices = [Choice(ids[v], name, v, weight) for v, weight in weights.items() if v in ids]
    if not choices:
        raise _not_found(name, next(iter(weights)))
    return choices


def _not_found(name: str, segment: str | None, known: Sequence[str] = ()) -> NotFoundError:
    version = "" if segment is None else f" with version or alias {segment[:64]!r}"
    return NotFoundError(f"there is no model {name[:64]!r}{version}{suggestion(name, known)}")
