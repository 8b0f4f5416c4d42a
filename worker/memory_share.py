"""The memory that one job may use if the settings do not say."""

from app.sandbox.machine import memory_bytes

_SHARE = 0.8
_LEAST = 4 * 1024**3  # torch and a model of 1 GiB, with what its intake computes


def share_of_memory(num_slots: int, total: int | None = None) -> int:
    """Return a slot's share of 80 % of the memory here, and at least 4 GiB of it if there is.

    Args:
        num_slots: Jobs that the worker runs at the same time.
        total: Memory here, in bytes; None: ask the system.
    """
    usable = int(_SHARE * (memory_bytes() if total is None else total))
    return max(usable // num_slots, min(usable, _LEAST))
