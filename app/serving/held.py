"""Decoded images that wait for their run, by key. Their shapes are all that the API gets."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.serving.memory import given_back_in_steps

Place = Sequence[Any]  # key, first and last item (exclusive), as in `app.inference.held`


class Held:
    """Arrays by key. Safe to use on several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrays: dict[str, NDArray[Any]] = {}

    def put(self, key: str, array: NDArray[Any]) -> None:
        """Keep an array."""
        with self._lock:
            self._arrays[key] = array

    def drop(self, key: str) -> None:
        """Let go of an array; a run that uses it goes on."""
        with self._lock:
            array = self._arrays.pop(key, None)
        del array  # outside of the lock: giving back gigabytes takes a while

    def find(self, places: Sequence[Place]) -> NDArray[Any] | None:
        """Return the items at the places, one after another; None: an array is not here."""
        with self._lock:
            whole = [(self._arrays.get(key), first, end) for key, first, end in places]
        parts = [array[first:end] for array, first, end in whole if array is not None]
        if len(parts) < len(places):
            return None
        return parts[0] if len(parts) == 1 else given_back_in_steps(np.concatenate(parts))
