"""Soak test: memory and correctness of the API over a long run.

Usage: python -m benchmarks.soak [--minutes 60] [--rate 50] [--output FILE].
One API process (SQLite, local storage, authentication on) receives ``--rate`` requests a second,
open-loop: nested JSON, ``.npy``, the binary form of ``/v2`` and PNG images to
``resnet20@production``. That alias is switched or rolled back every `SWITCH_SECONDS`. One request
in `RARE` goes to one of `NUM_WIDE` networks that together exceed ``cache_bytes``, so sessions are
evicted all the time. Occasionally a model is loaded or unloaded explicitly.

Every response must be 200, name its version, and equal ONNX Runtime's outputs for that version.
During a switch it may be either version; before and after, only the current one. Memory, sessions
and cache bytes come from ``/metrics``. Exits with 1 after any error.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort

from benchmarks.machine import machine
from benchmarks.serving.load import free_port, started
from benchmarks.serving.networks import make_networks
from benchmarks.serving.ours import prepare_models
from benchmarks.serving.servers import CACHE, Running
from benchmarks.soak_calls import CALLS, Asked, Expected, Picture, pictures, write_wide

SEED = 1
NUM_PICTURES = 8
NUM_WIDE = 6
CACHE_BYTES = 24 * 2**20  # three of the six, or two of them and both versions of the other
RARE = 20
SWITCH_SECONDS = 3.0
SAMPLE_SECONDS = 5.0
WARM_UP_SHARE = 0.25
_ALIAS = "/v1/models/resnet20/aliases/production"
_MOST_SHOWN = 20
_MOST_SAMPLES = 60
_GAUGES = {
    "process_resident_memory_bytes": "rss_bytes",
    "secateur_session_bytes": "cache_bytes",
    "secateur_sessions_loaded": "sessions",
    "secateur_inference_waiting_requests": "waiting",
}


@dataclass
class Soak:
    """State of one run: models, alias and results."""

    client: httpx.AsyncClient
    expected: Expected
    end: float
    began: float = field(default_factory=time.monotonic)
    version: str = "1"
    moves: int = 0  # odd while a switch is under way
    switches: int = 0
    rollbacks: int = 0
    loads: int = 0
    seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)

    async def ask(self, name: str, call: str, picture: int) -> None:
        """Send one request and check its response."""
        began, moves, version = time.perf_counter(), self.moves, self.version
        try:
            asked: Asked = await CALLS[call](self.client, name, self.expected.pictures[picture])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self._fail(f"{call} {name}: {type(error).__name__}: {str(error)[:300]}")
            return
        self.seconds.append(time.perf_counter() - began)
        self.answers[call] += 1
        model, _, alias = name.partition("@")
        if alias and moves % 2 == 0 and moves == self.moves and asked.version != version:
            self._fail(f"{call} {name}: version {asked.version} answered, {version} is meant")
        if not self.expected.is_right(model, picture, asked):
            self._fail(f"{call} {name}: not what version {asked.version} gives")

    async def switch(self, dice: random.Random) -> None:
        """Switch the alias to the other version, by name or by rollback."""
        other = "2" if self.version == "1" else "1"
        is_rollback = self.switches > 0 and dice.random() < 0.5  # noqa: PLR2004  # a coin
        self.moves += 1
        if is_rollback:
            sent = await self.client.post(f"{_ALIAS}/rollback", headers={"If-Match": "*"})
            self.rollbacks += 1
        else:
            body = {"targets": [{"version": other}]}
            sent = await self.client.put(_ALIAS, json=body, headers={"If-Match": "*"})
            self.switches += 1
        if sent.is_error:
            self._fail(f"switch: {sent.status_code}: {sent.text[:300]}")
        else:
            self.version = other
        self.moves += 1

    async def move(self, dice: random.Random) -> None:
        """Load or unload a network."""
        verb = dice.choice(("load", "unload"))
        name = dice.choice(["resnet20", *wide_names()])
        sent = await self.client.post(f"/v2/repository/models/{name}/{verb}")
        self.loads += 1
        if sent.is_error:
            self._fail(f"{verb}: {sent.status_code}: {sent.text[:300]}")

    async def sample(self) -> None:
        """Read the process's metrics."""
        found = await self.client.get("/metrics")
        values = dict(line.split() for line in found.text.splitlines() if line[:1] not in {"#", ""})
        sample = {short: float(values[name]) for name, short in _GAUGES.items()}
        self.samples.append({"seconds": round(time.monotonic() - self.began, 1)} | sample)

    async def every(self, seconds: float, what: Callable[[], Awaitable[None]]) -> None:
        """Repeat an action until the end of the run."""
        while time.monotonic() < self.end:
            try:
                await what()
            except httpx.HTTPError as error:
                self._fail(f"{type(error).__name__}: {error}")
            await asyncio.sleep(seconds)

    def _fail(self, what: str) -> None:
        self.errors.append(what)
        if len(self.errors) <= _MOST_SHOWN:
            print(f"{time.monotonic() - self.began:.1f} s: {what}", file=sys.stderr, flush=True)


def main() -> None:
    """Run the soak test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/soak.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        networks = make_networks(CACHE)
        models = [("resnet20", networks["dense"]), ("resnet20", networks["pruned"])]
        for number, name in enumerate(wide_names()):
            models.append((name, write_wide(folder / f"{name}.onnx", number)))
        _ids, key = prepare_models(models, folder, ["admin"])
        expected = _expected(models)
        port = free_port()
        environment = {
            "SECATEUR_DATA_DIR": str(folder / "data"),
            "SECATEUR_API__PORT": str(port),
            "SECATEUR_INFERENCE__CACHE_BYTES": str(CACHE_BYTES),
        }
        running = Running([sys.executable, "-m", "app.server"], {}, environment)
        with started(running, port, CACHE / "soak.log"):
            soak = asyncio.run(_run(f"http://127.0.0.1:{port}", key, expected, options))
    result = _result(soak, options)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({name: value for name, value in result.items() if name != "samples"}))
    sys.exit(bool(soak.errors))


def wide_names() -> list[str]:
    """Return the names of the rarely used networks."""
    return [f"wide{number}" for number in range(NUM_WIDE)]


def _expected(models: list[tuple[str, Path]]) -> Expected:
    versions: Counter[str] = Counter()
    outputs = {}
    asked: list[Picture] = pictures(NUM_PICTURES, SEED)
    for name, path in models:
        versions[name] += 1
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = [session.run(None, {"x": picture.values})[0] for picture in asked]
        outputs[name, str(versions[name])] = np.asarray(found)
    return Expected(asked, outputs)


async def _run(url: str, key: str, expected: Expected, options: argparse.Namespace) -> Soak:
    headers = {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=256, max_keepalive_connections=64)
    client = httpx.AsyncClient(
        base_url=url, headers=headers, timeout=60, limits=limits, trust_env=False
    )
    dice = random.Random(SEED)  # noqa: S311  # not a secret
    async with client:
        await _wait_for(client)
        made = await client.put(_ALIAS, json={"targets": [{"version": "1"}]})
        made.raise_for_status()
        soak = Soak(client, expected, time.monotonic() + 60 * options.minutes)
        await soak.sample()
        async with asyncio.TaskGroup() as group:
            group.create_task(soak.every(SWITCH_SECONDS, lambda: soak.switch(dice)))
            group.create_task(soak.every(2.5 * SWITCH_SECONDS, lambda: soak.move(dice)))
            group.create_task(soak.every(SAMPLE_SECONDS, soak.sample))
            number = 0
            while (due := soak.began + number / options.rate) < soak.end:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                is_rare = dice.randrange(RARE) == 0
                name = dice.choice(wide_names()) if is_rare else "resnet20@production"
                call = dice.choice(sorted(CALLS))
                group.create_task(soak.ask(name, call, dice.randrange(NUM_PICTURES)))
                number += 1
        await soak.sample()
    return soak


async def _wait_for(client: httpx.AsyncClient) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            (await client.get("/healthz")).raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.2)
        else:
            return


def _result(soak: Soak, options: argparse.Namespace) -> dict[str, Any]:
    mebibytes = [sample["rss_bytes"] / 2**20 for sample in soak.samples]
    warm = round(WARM_UP_SHARE * len(mebibytes))
    hours = [sample["seconds"] / 3600 for sample in soak.samples]
    slope = statistics.linear_regression(hours[warm:], mebibytes[warm:]).slope
    seconds = sorted(soak.seconds) or [0.0]
    return {
        "machine": machine(),
        "load_average": os.getloadavg()[0],
        "minutes": options.minutes,
        "rate": options.rate,
        "cache_bytes": CACHE_BYTES,
        "requests": sum(soak.answers.values()),
        "requests_by_call": dict(sorted(soak.answers.items())),
        "errors": len(soak.errors),
        "first_errors": soak.errors[:_MOST_SHOWN],
        "switches": soak.switches,
        "rollbacks": soak.rollbacks,
        "loads_and_unloads": soak.loads,
        "p50_ms": round(1000 * seconds[len(seconds) // 2], 1),
        "p99_ms": round(1000 * seconds[len(seconds) * 99 // 100], 1),
        "max_ms": round(1000 * seconds[-1], 1),
        "rss_mebibytes": {
            "start": round(mebibytes[0], 1),
            "after_warm_up": round(mebibytes[warm], 1),
            "end": round(mebibytes[-1], 1),
            "highest": round(max(mebibytes), 1),
            "slope_an_hour": round(slope, 2),
        },
        "highest_cache_bytes": max(sample["cache_bytes"] for sample in soak.samples),
        "samples": soak.samples[:: max(1, len(soak.samples) // _MOST_SAMPLES)],
    }


if __name__ == "__main__":
    main()
