"""Only the calls that took what the serving process ran out of are held back for its end."""

import os
import tempfile
import threading

import numpy as np

from app.inference.blame import Call, Ending, guilty_calls
from app.serving.crash import CrashNotes, Use, uses_of

MEBIBYTE = 1024**2
ATTACK, VICTIM, LATE = (
    Call(name, name, began, 60.0, number=number)
    for number, (name, began) in enumerate([("attack", 10.0), ("victim", 5.0), ("late", 21.0)])
)
CALLS = [ATTACK, VICTIM, LATE]


def uses(*found: tuple[float, float]) -> dict[int, Use]:
    return {number: Use(*seconds) for number, seconds in enumerate(found)}


def test_memory_is_blamed_on_the_call_that_touched_most_of_it() -> None:
    ending = Ending("outgrown", 30.0, uses=uses((0.9, 1.0), (0.1, 20.0), (0.0, 0.1)))
    assert guilty_calls(CALLS, ending) == ([ATTACK], True)
    both = Ending("outgrown", 30.0, uses=uses((0.9, 1.0), (0.5, 20.0), (0.0, 0.1)))
    assert guilty_calls(CALLS, both) == ([ATTACK, VICTIM], False)


def test_memory_that_no_call_took_is_blamed_on_nobody() -> None:
    small = Ending("outgrown", 30.0, uses=uses((0.01, 1.0), (0.02, 20.0), (0.0, 0.1)))
    assert guilty_calls(CALLS, small) == ([], False)
    assert guilty_calls(CALLS, Ending("outgrown", 30.0)) == (CALLS, False), "nothing is known"


def test_silence_is_blamed_on_what_computed_all_the_time_and_not_on_what_waited() -> None:
    ending = Ending("deaf", 36.0, 20.0, uses((1.0, 14.0), (0.0, 0.2), (0.0, 15.0)))
    assert guilty_calls(CALLS, ending) == ([ATTACK], True)
    idle = Ending("deaf", 36.0, 20.0, uses((0.0, 0.1), (0.0, 0.2), (0.0, 0.1)))
    assert guilty_calls(CALLS, idle) == ([ATTACK, VICTIM], False), "the last came too late"


def test_kills_from_outside_and_freezes_are_blamed_on_nobody() -> None:
    for ending in (Ending("", 30.0, code=-9), Ending("frozen", 30.0, code=-9)):
        assert guilty_calls(CALLS, ending) == ([], False)
    crash = Ending("", 30.0, code=-11, crashed=VICTIM.number)
    assert guilty_calls(CALLS, crash) == ([VICTIM], True)


def test_the_kernel_tells_what_each_call_has_used() -> None:
    ready, over = threading.Barrier(3, timeout=20), threading.Event()

    def compute(notes: CrashNotes, number: int, mebibytes: int) -> None:
        earlier = np.ones((100 - mebibytes) * MEBIBYTE, np.uint8)  # does not count
        with notes.computing(number):
            touched = np.ones(mebibytes * MEBIBYTE, np.uint8)
            ready.wait()
            over.wait(20)
        del earlier, touched

    with tempfile.TemporaryFile() as file:
        notes = CrashNotes(file.fileno())
        threads = [
            threading.Thread(target=compute, args=(notes, number, size))
            for number, size in ((7, 99), (8, 1))
        ]
        for thread in threads:
            thread.start()
        ready.wait()
        found = uses_of(file.fileno(), os.getpid())
        over.set()
        for thread in threads:
            thread.join()
        assert found[7].system_seconds > found[8].system_seconds
        assert uses_of(file.fileno(), os.getpid()) == {}
