"""Liveness of the process, and its readiness for requests."""

from functools import partial

from fastapi import APIRouter, Request
from sqlalchemy import text

from app.contracts.errors import LeavingError, UnavailableError
from app.dependencies import Context, ContextDep
from app.http.gate import ALIVE_PATH
from app.http.limits import OPEN, limits
from app.http.problems import RESPONSES
from app.inference.supervisor import Supervisor
from app.readiness import Readiness
from app.records.database import Sessions, reading
from app.records.migrations import find_missing_revision
from app.ttl_cache import TtlCache

_SERVING_SECONDS = 3.0  # a restart takes less

router = APIRouter(tags=["health"], responses=RESPONSES)

ReadinessCache = TtlCache[None, dict[str, str]]
_TTL_SECONDS = 1.0


@router.get(ALIVE_PATH)
@limits(OPEN)
def alive() -> dict[str, str]:
    """Return 200 while the process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
@limits(OPEN)
async def ready(request: Request, _context: ContextDep) -> dict[str, str]:
    """Return 200 if this process should get requests, with the state of the parts that it needs.

    `degraded`: the queue or the store cannot be reached. Jobs are accepted, and models that are in
    memory are served.
    """
    readiness: Readiness = request.app.state.readiness
    cache: ReadinessCache = request.app.state.readiness_cache
    if request.app.state.is_leaving:
        raise LeavingError("this process is shutting down; send requests to another one")
    return await cache.get(None, readiness.check)


def create_readiness(supervisor: Supervisor, context: Context) -> Readiness:
    """Return the checks of an API process."""
    return Readiness(
        {
            "database": _Schema(context.sessions).check,
            "serving_process": partial(_check_serving, supervisor),
        },
        {"queue": context.queue.check, "storage": context.store.check},
    )


def create_cache() -> ReadinessCache:
    """Return a cache of one good answer: whoever asks needs no key, and may ask often."""
    return TtlCache(_TTL_SECONDS)


class _Schema:
    """The database, with a schema that is not older than this version needs."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._is_current = False  # schemas only move forward

    def check(self) -> None:
        with reading(self._sessions) as session:
            session.execute(text("SELECT 1"))
            missing = None if self._is_current else find_missing_revision(session.connection())
        if missing is not None:
            raise UnavailableError(
                f"the database lacks the schema revision {missing}: run secateur migrate"
            )
        self._is_current = True


def _check_serving(supervisor: Supervisor) -> None:
    if not supervisor.wait(_SERVING_SECONDS):
        raise TimeoutError(f"no serving process after {_SERVING_SECONDS:g} s")
