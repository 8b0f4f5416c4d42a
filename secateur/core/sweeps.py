"""Creates sweeps and waits for their jobs."""

from collections.abc import Callable, Mapping
from typing import Any

from secateur.core.calls import Context, call
from secateur.core.endpoints import CREATE_SWEEP, READ_SWEEP
from secateur.core.requests import make_json_request, make_request, new_idempotency_key
from secateur.core.steps import Flow, Sleep
from secateur.errors import WaitTimeoutError
from secateur.types import SweepData

# This endpoint has no long polling, and each read makes the service read every job of the sweep.
_FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS = 1.0, 5.0


def create_sweep(context: Context, body: Mapping[str, Any]) -> Flow[SweepData]:
    """Create a sweep; retries cannot create a second one."""
    request = make_json_request(CREATE_SWEEP, body, headers=new_idempotency_key())
    sweep: SweepData = yield from call(context, request)
    return sweep


def wait_for_sweep(
    context: Context,
    sweep: SweepData,
    timeout: float | None,
    on_progress: Callable[[SweepData], None] | None,
) -> Flow[SweepData]:
    """Wait until all jobs of a sweep have ended and return the sweep with its table.

    Raises:
        WaitTimeoutError: The jobs took longer than ``timeout`` seconds; they continue.
    """
    delay = _FIRST_POLL_SECONDS
    end = float("inf") if timeout is None else context.clock() + timeout
    while True:
        sweep = yield from call(context, make_request(READ_SWEEP, sweep.id))
        if on_progress is not None:
            on_progress(sweep)
        if sweep.is_final:
            return sweep
        left = end - context.clock()
        if left <= 0:
            raise WaitTimeoutError(
                f"sweep {sweep.id} is not done after {timeout:g} s; it continues"
            )
        yield Sleep(min(delay, left))
        delay = min(2 * delay, _LONGEST_POLL_SECONDS)
