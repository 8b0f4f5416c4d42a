"""The memory of parsed JSON is estimated high enough, and not far too high for numbers."""

import json
import tracemalloc

import orjson
import pytest

from app.http.weight import parsed_bytes

NUM_VALUES = 20_000


def array_of(value: str) -> bytes:
    return f"[{','.join([value] * NUM_VALUES)}]".encode()


VALUES = {
    **{text: array_of(text) for text in ("[]", "{}", "[1]", "[[[]]]", '{"a":1}', '{"a":{"b":{}}}')},
    "floats": orjson.dumps([number / 7 for number in range(NUM_VALUES)]),
    "integers": orjson.dumps(list(range(1000, 1000 + NUM_VALUES))),
    "strings": orjson.dumps([str(number) for number in range(NUM_VALUES)]),
    "other strings": json.dumps([f"ö{n}" for n in range(NUM_VALUES)], ensure_ascii=False).encode(),
    "keys": orjson.dumps({str(number): 0 for number in range(NUM_VALUES)}),
    "an image": orjson.dumps([[[number / 255 for number in range(224)]] * 3] * 30),
}


@pytest.mark.parametrize("loads", [orjson.loads, json.loads], ids=["orjson", "json"])
@pytest.mark.parametrize("name", VALUES)
def test_the_estimate_is_not_too_low(name: str, loads: object) -> None:
    data = VALUES[name]
    tracemalloc.start()
    assert callable(loads)
    found = loads(data)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found
    assert taken < 1.05 * parsed_bytes(data) < 3 * taken
