"""More requests than a slow network can answer: some are refused, nothing else suffers."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest

from tests.fixtures.serving import Serving, serving
from tests.integration.inference.networks import node, write_onnx

NUM_REQUESTS = 60
QUEUE_ITEMS = 4
SIDE = 48
JSON = {"inputs": np.ones((1, 1, SIDE, SIDE), int).tolist()}
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 1, SIDE, SIDE], "data": [1] * SIDE**2}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    inference = {"num_workers": 1, "max_batch_items": 1, "queue_items": QUEUE_ITEMS}
    with serving(tmp_path / "data", inference=inference) as found:
        found.add_model("slow", onnx.load(write_slow(tmp_path / "slow.onnx")))
        yield found


def write_slow(path: Path) -> Path:
    """Write a network of 350 million multiplications, so that many requests arrive during a run."""
    random = np.random.default_rng(0)
    weights = {"w0": random.standard_normal((64, 1, 3, 3))}
    weights |= {f"w{n}": random.standard_normal((64, 64, 3, 3)) / 24 for n in range(1, 5)}
    names = ["input", *(f"x{n}" for n in range(4)), "output"]
    nodes = [node("Conv", [names[n], f"w{n}"], [names[n + 1]], pads=[1, 1, 1, 1]) for n in range(5)]
    shape: list[int | str] = ["batch", 64, SIDE, SIDE]
    return write_onnx(
        path, nodes, {"input": ["batch", 1, SIDE, SIDE]}, {"output": shape}, **weights
    )


def test_excess_requests_are_refused_and_accepted_ones_are_answered(served: Serving) -> None:
    answers, alive = asyncio.run(overload(served))
    assert {answer.status_code for answer in answers} == {200, 503}
    assert alive == [200] * len(alive)
    refused = [answer for answer in answers if answer.status_code == 503]
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        if answer.request.url.path == "/infer":
            assert answer.json()["code"] in {"overloaded", "deadline_exceeded"}
        else:
            assert list(answer.json()) == ["error"]
    assert f"the limit is {QUEUE_ITEMS} items" in "".join(answer.text for answer in refused)

    with httpx.Client(
        base_url=f"http://{served.address}", headers=served.key(), timeout=60, trust_env=False
    ) as client:
        again = [client.post("/infer?model=slow", json=JSON).status_code for _ in range(3)]
        assert again == [200] * 3
        lines = client.get("/metrics").text.splitlines()
    figures = Counter(
        {
            name: float(value)
            for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        }
    )
    assert figures["secateur_inference_waiting_requests"] == 0
    counted = [value for name, value in figures.items() if "rejections_total" in name]
    assert sum(counted) == len(refused)


async def overload(served: Serving) -> tuple[list[httpx.Response], list[int]]:
    """Send requests to both routes at once, a third of them with a deadline."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=f"http://{served.address}",
        headers=served.key(),
        timeout=120,
        limits=limits,
        trust_env=False,
    ) as client:
        loaded = await client.post("/infer?model=slow", json=JSON)
        assert loaded.status_code == 200

        async def ask(number: int) -> httpx.Response:
            if number % 2:
                return await client.post("/v2/models/slow/infer", json={"inputs": [TENSOR]})
            parameters = {"timeout_seconds": 0.01} if number % 3 == 0 else {}
            return await client.post(
                "/infer", json={"model": "slow", "parameters": parameters, **JSON}
            )

        async def look() -> int:
            return (await client.get("/healthz")).status_code

        asked = [asyncio.create_task(ask(number)) for number in range(NUM_REQUESTS)]
        alive = []
        while not all(task.done() for task in asked):
            alive.append(await look())
        return [await task for task in asked], alive
