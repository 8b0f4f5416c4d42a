"""Requests of many items: refused over a budget, or computed in slices so that others get turns."""

from collections.abc import Awaitable, Callable

import numpy as np

from app.contracts.errors import TooLargeError
from app.contracts.settings import InferenceSettings
from app.inference.batcher import Computed
from app.inference.held import Inputs
from app.serving.description import LoadedModel

Submit = Callable[[Inputs], Awaitable[Computed]]


def allowed_items(model: LoadedModel, arrays: Inputs, settings: InferenceSettings) -> int | None:
    """Return the most items of one run of a request, or None if one run can take it whole.

    Raises:
        TooLargeError: The request takes too long, or too much memory and cannot be split.
    """
    num_items = max((len(a) if a.ndim else 1 for a in arrays.values()), default=1)
    if num_items == 1:
        return None  # one item was measured when the model was loaded
    cost = model.cost
    seconds = num_items * cost.item_seconds
    if seconds > settings.request_seconds:
        raise TooLargeError(
            f"{num_items} items would compute for about {seconds:.0f} s, at most "
            f"{settings.request_seconds:g} s are allowed: send fewer items per request"
        )
    num_bytes = cost.run_bytes + (num_items - 1) * cost.item_bytes
    if num_bytes <= settings.run_bytes and (
        seconds <= settings.slice_seconds or not model.is_independent
    ):
        return None
    if not model.is_independent:
        raise TooLargeError(
            f"{num_items} items would take {num_bytes} bytes of memory in one run, at most "
            f"{settings.run_bytes} are allowed: send fewer items per request"
        )
    by_memory = num_items
    if cost.item_bytes:
        by_memory = 1 + (settings.run_bytes - cost.run_bytes) // cost.item_bytes
    by_time = int(settings.slice_seconds / cost.item_seconds) if cost.item_seconds else num_items
    return max(1, min(num_items, by_memory, by_time))


async def slices(
    submit: Submit, arrays: Inputs, most: int, settings: InferenceSettings
) -> Computed:
    """Compute a request in runs of at most ``most`` items, one after another.

    Raises:
        TooLargeError: The outputs, or the time of the runs, exceed a limit.
    """
    num_items = max(len(array) for array in arrays.values())
    found: list[Computed] = []
    num_bytes, seconds = 0, 0.0
    for start in range(0, num_items, most):
        part = await submit({name: a[start : start + most] for name, a in arrays.items()})
        found.append(part)
        num_bytes += sum(array.nbytes for array in part.outputs.values())
        seconds += part.compute_seconds
        if num_bytes > settings.answer_bytes:
            raise TooLargeError(
                f"the outputs have more than {settings.answer_bytes} bytes, which is the limit: "
                "send fewer items per request, or ask for fewer outputs"
            )
        if seconds > settings.request_seconds:
            raise TooLargeError(
                f"the request computes for longer than {settings.request_seconds:g} s: send fewer "
                "items per request"
            )
    outputs = {
        name: np.concatenate([part.outputs[name] for part in found]) for name in found[0].outputs
    }
    return Computed(
        outputs,
        sum(part.queue_seconds for part in found),
        seconds,
        max(part.batch_size for part in found),
    )
