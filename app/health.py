"""Liveness of the process, and readiness of the services that it needs."""

from collections.abc import Callable
from functools import partial

import structlog
from fastapi import APIRouter, Request
from sqlalchemy import text

from app.contracts.errors import UnavailableError
from app.dependencies import Context, ContextDep
from app.http.gate import ALIVE_PATH
from app.http.limits import OPEN, limits
from app.http.problems import RESPONSES
from app.inference.supervisor import Supervisor
from app.records.database import reading
from app.ttl_cache import TtlCache

log = structlog.get_logger(__name__)
_SERVING_SECONDS = 3.0  # a restart takes less

router = APIRouter(tags=["health"], responses=RESPONSES)

Readiness = TtlCache[None, dict[str, str]]
_TTL_SECONDS = 1.0


@router.get(ALIVE_PATH)
@limits(OPEN)
def alive() -> dict[str, str]:
    """Return 200 while the process is alive."""
    return {"status": "ok"}


@router.get("/readyz")
@limits(OPEN)
async def ready(request: Request, context: ContextDep) -> dict[str, str]:
    """Return 200 if the database, the queue and the store are reachable and models are served."""
    readiness: Readiness = request.app.state.readiness
    supervisor: Supervisor = request.app.state.inference.supervisor
    return await readiness.get(None, partial(_check, supervisor, context))


def create_readiness() -> Readiness:
    """Return a cache of one good answer: whoever asks needs no key, and may ask often."""
    return TtlCache(_TTL_SECONDS)


def _check(supervisor: Supervisor, context: Context) -> dict[str, str]:
    checks: dict[str, Callable[[Context], None]] = {
        "database": _check_database,
        "queue": _check_queue,
        "storage": _check_storage,
        "serving_process": partial(_check_serving, supervisor),
    }
    for name, check in checks.items():
        try:
            check(context)
        except Exception as error:
            log.exception("readiness.failed", part=name)
            raise UnavailableError(f"the {name.replace('_', ' ')} cannot be reached") from error
    return {"status": "ok", **dict.fromkeys(checks, "ok")}


def _check_database(context: Context) -> None:
    with reading(context.sessions) as session:
        session.execute(text("SELECT 1"))


def _check_queue(context: Context) -> None:
    context.queue.check()


def _check_storage(context: Context) -> None:
    context.store.check()


def _check_serving(supervisor: Supervisor, _context: Context) -> None:
    if not supervisor.wait(_SERVING_SECONDS):
        raise TimeoutError(f"no serving process after {_SERVING_SECONDS:g} s")
