"""Parts that all mutations share: values, JSON, the directory of a zip, bytes."""

import random
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from tests.attacks.files.zips import Entry

# Returns the format of a file, and its bytes.
Mutate = Callable[[random.Random], tuple[str, bytes]]

NUMBERS = (
    -1, 0, 1, 2, 3, 7, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1,
    -(2**63), 2**64, 10**30,
)  # fmt: skip
VALUES = (
    *NUMBERS, None, True, False, 0.5, -0.0, 1e308, "", "x", "NaN", "Infinity", "../../x", "\x00",
    "s0", "%999999999d", [], [[]], {}, {"as_int": 2**33}, {"as_none": True},
    {"as_ints": [2**20] * 3}, {"as_tensor": {"name": "x"}}, {"as_string": "%999999999d"},
    {"as_float": 1e30},
)  # fmt: skip


def edit_json(rng: random.Random, body: Any) -> None:
    """Change one value anywhere."""
    places = list(walk(body))
    if not places:
        return
    inside, key = rng.choice(places)
    choice = rng.randrange(5)
    if choice == 0:
        del inside[key]
    elif choice == 1 and isinstance(inside, list):
        inside.insert(key, deepcopy(rng.choice(inside)))
    elif choice == 2 and isinstance(inside[key], int):
        inside[key] += rng.choice([-1, 1, 2**20])
    elif choice == 3:
        other_inside, other = rng.choice(places)
        inside[key] = deepcopy(other_inside[other]) if other_inside is not inside else None
    else:
        inside[key] = deepcopy(rng.choice(VALUES))


def walk(body: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(body) if isinstance(body, dict) else range(len(body)):
        yield body, key
        if isinstance(body[key], (dict, list)):
            yield from walk(body[key])


def edit_directory(rng: random.Random, entries: list[Entry]) -> None:
    """Change an entry of a zip's directory."""
    for _ in range(rng.choice([1, 1, 2])):
        entry = rng.choice(entries)
        number = rng.choice([0, 1, 100, 2**16, 2**31, 2**32 - 1, rng.randrange(2**32)])
        edits: list[tuple[str, Any]] = [
            ("size", number), ("packed_size", number), ("crc", number), ("offset", number),
            ("method", rng.choice([0, 8, 12, 14, 93, 99])), ("flags", rng.randrange(2**16)),
            ("mode", rng.choice([0o120777, 0o020666, 0o040755])),
            ("extra", rng.choice([b"\1\0\x10\0" + rng.randbytes(16), rng.randbytes(5)])),
            ("name", rng.choice([b"../x", b"/x", b"m/x\0y", rng.randbytes(8), entries[0].name])),
            ("local_name", rng.randbytes(4)), ("data", damaged(rng, entry.data)),
        ]  # fmt: skip
        setattr(entry, *rng.choice(edits))


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat or overwrite a few bytes."""
    found = bytearray(data or b"\0")
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(found))
        choice = rng.randrange(6)
        if choice == 0:
            found[at] ^= 1 << rng.randrange(8)
        elif choice == 1:
            found[at : at + 4] = struct.pack(rng.choice("<>") + "q", rng.choice(NUMBERS[:12]))[:4]
        elif choice == 2:
            del found[at : at + rng.choice([1, 4, 100])]
        elif choice == 3:
            found[at:at] = found[at : at + rng.choice([1, 8, 64])]
        elif choice == 4:
            found[at] = rng.choice([0, 255, 127, 128])
        else:
            found[at : at + 8] = rng.randbytes(8)
        if not found:
            found = bytearray(b"\0")
    return bytes(found)
