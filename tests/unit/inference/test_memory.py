"""Large arrays of the serving process go back to the system in steps, when nobody needs them."""

import ctypes
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import numpy as np
import pytest

from app.serving import memory
from app.serving.bfloat16 import round_to_bfloat16
from app.serving.crash import CrashNotes
from app.serving.held import Held
from app.serving.images import _allocate
from app.serving.lanes import Lane
from app.serving.memory import given_back_in_steps

MIB = 1024**2


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the blocks that were given back."""
    found: list[int] = []
    really = memory._give_back

    def give_back(address: int, num_bytes: int) -> None:
        found.append(num_bytes)
        really(address, num_bytes)

    monkeypatch.setattr(memory, "_give_back", give_back)
    return found


def test_an_array_is_given_back_once_its_last_view_is_gone(gone: list[int]) -> None:
    array = given_back_in_steps(np.full(20 * MIB, 7, np.uint8))
    view = array[MIB:][::2]
    del array
    assert not gone
    assert (view == 7).all()
    del view
    assert gone == [20 * MIB]


def test_small_arrays_and_memory_of_others_are_left_to_their_owners(gone: list[int]) -> None:
    others = bytes(20 * MIB)
    for array in (np.ones(MIB, np.uint8), np.frombuffer(others, np.uint8)):
        given_back_in_steps(array)
    del array
    assert not gone


def test_every_page_of_a_block_goes_in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.ones(20 * MIB + 5, np.uint8)
    steps: list[int] = []
    really = ctypes.CDLL(None).madvise

    class Libc:
        def __init__(self, _name: None) -> None:
            pass

        def madvise(self, *call: object) -> None:
            assert really(*call) == 0
            steps.append(call[1].value)  # type: ignore[attr-defined]

    monkeypatch.setattr(ctypes, "CDLL", Libc)
    memory._give_back(array.ctypes.data, array.nbytes)
    assert max(steps) <= 8 * MIB
    assert (array[4096:-4096] == 0).all()  # its pages are gone: the next ones are empty
    assert array[0] == array[-1] == 1  # those that it shares are not


def test_decoded_images_and_joined_batches_are_given_back_in_steps(gone: list[int]) -> None:
    held = Held()
    for key in "ab":
        held.put(key, _allocate((10, MIB // 2), 2**30))
    batch = held.find([("a", 0, 10), ("b", 0, 10)])
    held.drop("a")
    held.drop("b")
    assert gone == [20 * MIB, 20 * MIB]
    del batch
    assert gone[2:] == [40 * MIB]


def test_converted_images_and_bodies_are_given_back_in_steps(gone: list[int]) -> None:
    given_back_in_steps(round_to_bfloat16(np.ones(5 * MIB, np.float32)))
    assert gone == [20 * MIB]
    ours, theirs = socket.socketpair()
    with ours, theirs, ThreadPoolExecutor(1) as pool:
        lane = Lane(ours, lambda _: ({}, {}), cast("CrashNotes", None))
        sent = pool.submit(theirs.sendall, bytes(20 * MIB))
        assert len(lane._receive(20 * MIB)) == 20 * MIB
        sent.result()
    assert gone[1:] == [20 * MIB]
