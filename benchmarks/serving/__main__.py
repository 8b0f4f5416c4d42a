"""Run this service, LitServe, MLServer, BentoML and bare FastAPI under the same load.

Usage: python -m benchmarks.serving [--seconds 8] [--runs 3] [--clients 1 16 64] [--only NAME …]
[--output FILE]. Needs ``wrk`` (Debian) and PyPI; peers get virtual environments of their own below
``.secateur-cache``. One network (dense ResNet-20 from the project's exporter), one image per
request, one ONNX Runtime thread; every server shares two cores with the load generator. Servers
alternate within each run, so changes of the machine affect all of them. Medians of the runs.

Every server runs with its defaults, and again with workers and batching if it supports them. This
service runs with its defaults, including authentication, request log, limits and metrics.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.serving.load import free_port, measure, started
from benchmarks.serving.networks import make_networks, raw_images_a_second
from benchmarks.serving.servers import CACHE, SERVERS, Server, install

CORES = 2
WARM_UP_SECONDS = 2

Runs = dict[str, dict[str, dict[str, list[dict[str, float]]]]]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument(
        "--only", nargs="+", help="Only servers whose names start with one of these."
    )
    parser.add_argument("--encodings", nargs="+", help="json, binary, …")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    networks = make_networks(CACHE)
    chosen = [s for s in SERVERS if not options.only or s.name.startswith(tuple(options.only))]
    packages = {server.package for server in chosen if server.package is not None}
    versions = {package: install(package) for package in sorted(packages)}
    runs: Runs = {}
    raw: dict[str, list[float]] = {"dense": [], "pruned": []}
    for _ in range(options.runs):
        for name, path in networks.items():
            raw[name].append(raw_images_a_second(path, options.seconds))
        for server in chosen:
            _run(server, server.name, networks["dense"], options, runs)
            if server.package is None and server.name == "secateur":
                _run(server, "secateur, pruned network", networks["pruned"], options, runs)
    result = {
        "machine": machine() | {"cores": len(cores)},
        "versions": versions,
        "seconds": options.seconds,
        "runs": options.runs,
        "raw_images_a_second": {name: round(statistics.median(v), 1) for name, v in raw.items()},
        "servers": {name: _medians(found) for name, found in runs.items()},
    }
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["raw_images_a_second"]))


def _run(server: Server, name: str, onnx: Path, options: argparse.Namespace, runs: Runs) -> None:
    """Measure one server with every encoding and number of clients."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        running = server.start(onnx.absolute(), Path(folder), port)
        with started(running, port, CACHE / "server.log") as pid:
            for encoding, call in running.calls.items():
                if options.encodings and encoding not in options.encodings:
                    continue
                measure(pid, port, call, max(options.clients), WARM_UP_SECONDS)
                for clients in options.clients:
                    found = measure(pid, port, call, clients, options.seconds)
                    print(f"{name} | {encoding} | {clients}:", json.dumps(found), flush=True)
                    by_clients = runs.setdefault(name, {}).setdefault(encoding, {})
                    by_clients.setdefault(str(clients), []).append(found)


def _medians(found: dict[str, dict[str, list[dict[str, float]]]]) -> dict[str, Any]:
    return {
        encoding: {clients: _median(values) for clients, values in by_clients.items()}
        for encoding, by_clients in found.items()
    }


def _median(values: Sequence[dict[str, float]]) -> dict[str, Any]:
    median = {key: statistics.median(value[key] for value in values) for key in values[0]}
    return median | {"all_requests_a_second": [value["requests_a_second"] for value in values]}


if __name__ == "__main__":
    main()
