"""Attacks of `benchmarks.neighbours`: one tenant holds or asks for all that it may.

Each runs in a process of its own, ``python -m benchmarks.neighbours_attacks PLAN``, until it is
ended, and prints one line when it is at its limit.
"""

import asyncio
import io
import json
import resource
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

PLACES = 2100  # a tenant may take 2,048 of 4,096
POLLS, STREAMS, UPLOADS = 300, 300, 80  # of 256, 256 and 64
SLOW_INTAKES, SILENT_DELIVERIES = 6, 64
_BODY_BYTES, _NUM_BODIES = 60 * 1024**2, 10  # 512 MiB may be held
_TRICKLE_SECONDS = 5.0
_READY_SECONDS = 2.0
_SETTLE_SECONDS = 8.0  # until thousands of connections are open
_BETWEEN_SECONDS = 0.0005

Plan = dict[str, Any]
said: Counter[str] = Counter()


async def images(plan: Plan) -> None:
    """Ten kilobytes of images that become 243 MB of network input, from four clients."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    files = [("file", ("a.png", buffer.getvalue()))] * 9
    await _repeat(plan, 4, lambda client: client.post("/infer?model=huge", files=files))


async def items(plan: Plan) -> None:
    """Requests of 1 kB whose items take 32 MiB each, and one item that takes 256 MB."""
    many = {"model": "expand", "inputs": [[float(n)] for n in range(160)]}
    one = {"model": "attention", "inputs": [[1.0]]}
    await asyncio.gather(
        _repeat(plan, 3, lambda client: client.post("/infer", json=many)),
        _repeat(plan, 3, lambda client: client.post("/infer", json=one)),
    )


async def compute(plan: Plan) -> None:
    """Requests that compute for seconds; half of the clients hang up after one second."""
    body = {"model": "heavy", "inputs": [[float(n)] for n in range(100)]}
    await asyncio.gather(
        _repeat(plan, 4, lambda client: client.post("/infer", json=body)),
        _repeat(plan, 4, lambda client: client.post("/infer", json=body, timeout=1)),
    )


async def polls(plan: Plan) -> None:
    """Long polls of a paused job."""
    await _hold(plan, f"GET /v1/jobs/{plan['job']}?wait=60", [], POLLS)


async def streams(plan: Plan) -> None:
    """Event streams of a paused job."""
    route = f"GET /v1/jobs/{plan['job']}/events"
    await _hold(plan, route, ["Accept: text/event-stream"], STREAMS)


async def uploads(plan: Plan) -> None:
    """Slow uploads, and slow bodies of inference requests in all other places."""
    kind = "Content-Type: application/octet-stream"
    await asyncio.gather(
        _hold(plan, "POST /v1/models", [kind, f"Content-Length: {1024**3}"], UPLOADS, b"x"),
        _hold(plan, "POST /infer", [kind, "Content-Length: 100000"], PLACES - UPLOADS, b"x"),
    )


async def bodies(plan: Plan) -> None:
    """Bodies of 60 MiB that lack their last byte."""
    headers = ["Content-Type: application/octet-stream", f"Content-Length: {_BODY_BYTES}"]
    begun = bytes(_BODY_BYTES - 1)
    await _hold(plan, "POST /infer", headers, _NUM_BODIES, begun, is_once=True)


async def intakes(plan: Plan) -> None:
    """Uploads of a model whose check takes a minute."""
    data = Path(plan["slow_model"]).read_bytes()  # noqa: ASYNC240  # nothing else runs yet
    async with _client(plan) as client:
        for _ in range(SLOW_INTAKES):
            _count(await client.post("/v1/models", content=data))
    _ready()
    await asyncio.sleep(3600)


async def webhooks(plan: Plan) -> None:
    """Deliveries to a receiver that accepts connections and never answers."""
    hook = {"url": plan["silent_url"], "secret": plan["secret"], "events": ["job.cancelled"]}
    async with _client(plan) as client:
        for _ in range(SILENT_DELIVERIES):
            made = await client.post("/v1/jobs", json={"model": plan["model"], "webhook": hook})
            _count(made)
            _count(await client.post(f"/v1/jobs/{made.json()['id']}/cancel"))
    _ready()
    await asyncio.sleep(3600)


ATTACKS: dict[str, Callable[[Plan], Coroutine[Any, Any, None]]] = {
    attack.__name__: attack
    for attack in (images, items, bodies, compute, polls, streams, uploads, webhooks, intakes)
}


def main() -> None:
    """Attack as the plan says, until the process is ended."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = json.loads(Path(sys.argv[1]).read_text())
    asyncio.run(ATTACKS[plan["attack"]](plan))


def _client(plan: Plan) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {plan['key']}"}
    return httpx.AsyncClient(
        base_url=plan["url"], headers=headers, timeout=120, trust_env=False, limits=httpx.Limits()
    )


def _count(answer: httpx.Response) -> None:
    said[str(answer.status_code)] += 1


def _ready() -> None:
    print(json.dumps(said), flush=True)


async def _repeat(
    plan: Plan, num_clients: int, ask: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]
) -> None:
    async def repeat() -> None:
        async with _client(plan) as client:
            while True:
                try:
                    answer = await ask(client)
                except httpx.TimeoutException:
                    said["hung up"] += 1
                    continue
                _count(answer)
                if not answer.is_success:
                    await asyncio.sleep(0.1)

    clients = [asyncio.create_task(repeat()) for _ in range(num_clients)]
    await asyncio.sleep(_READY_SECONDS)
    _ready()
    await asyncio.gather(*clients)


async def _hold(
    plan: Plan,
    route: str,
    headers: list[str],
    number: int,
    begun: bytes = b"",
    *,
    is_once: bool = False,
) -> None:
    """Keep requests open; whatever is refused or ends is asked again after a second."""
    host, port = plan["url"].removeprefix("http://").split(":")
    key = f"Authorization: Bearer {plan['key']}"
    lines = [f"{route} HTTP/1.1", "Host: localhost", key, *headers]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def hold() -> None:
        while True:
            writer = None
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(head + begun)
                trickle = asyncio.create_task(_trickle(writer)) if begun and not is_once else None
                said[(await reader.read(12))[9:].decode() or "ended"] += 1
                while await reader.read(65536):
                    pass
                if trickle is not None:
                    trickle.cancel()
            except OSError:
                said["connection"] += 1
            finally:
                if writer is not None:
                    writer.close()
            await asyncio.sleep(1)

    tasks = []
    for _ in range(number):
        tasks.append(asyncio.create_task(hold()))
        await asyncio.sleep(_BETWEEN_SECONDS)
    await asyncio.sleep(_SETTLE_SECONDS)
    _ready()
    await asyncio.gather(*tasks)


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(_TRICKLE_SECONDS)
        writer.write(b"x")


if __name__ == "__main__":
    main()
