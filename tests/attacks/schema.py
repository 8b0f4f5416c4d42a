"""Send requests that the OpenAPI document allows and forbids to the real API.

``python -m tests.attacks.schema --examples 60 --seed 0`` counts what it sent and lists what it
found: an answer that is no expected one, or not what the document says. Whatever the document
holds is attacked; nothing is listed here by hand but the ids of things that exist.
"""

import argparse
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import requests
import schemathesis
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from rich.console import Console
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup

from app.inference.supervisor import Supervisor
from app.records import leases
from app.records.outcomes import Outcome, StoredFile
from tests.fixtures.api import Api, running_api, write_linear_onnx, zip_bytes

# Waiting is not what is tested here.
_LONGEST_WAIT = 0.01
_PLAN = "POST /v1/jobs:plan"
NO_FETCH = {"is_allowed": False}  # the document's examples name hosts of others
_CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


@dataclass
class Tally:
    """Number of requests, and problems with the answers."""

    num_requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    findings: dict[tuple[str, str], str] = field(default_factory=dict)

    def note(self, operation: str, title: str, detail: str) -> None:
        self.findings.setdefault((operation, title), detail)


def attack(api: Api, examples: int, seed: int, *, only: str = "") -> Tally:
    """Send up to ``examples`` requests of each kind to each operation with ``only`` in its name."""
    load_all_checks()
    document = api.client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.generation.update(allow_x00=True)
    known, tally = _known_ids(api), Tally()
    for found in schema.get_all_operations():
        operation = found.ok()
        if only not in operation.label:
            continue
        names = {parameter.name for parameter in operation.path_parameters}
        ids = {name: known[name] for name in names if name in known}
        for strategy in _strategies(operation, ids):
            _run(api, strategy, examples, seed, tally)
    return tally


def _strategies(operation: Any, ids: Mapping[str, str]) -> Iterator[Any]:
    yield operation.as_strategy(GenerationMode.POSITIVE)
    yield operation.as_strategy(GenerationMode.NEGATIVE)
    if ids:
        yield operation.as_strategy(GenerationMode.POSITIVE, path_parameters=dict(ids))
        yield operation.as_strategy(GenerationMode.NEGATIVE, path_parameters=dict(ids))


def _run(api: Api, strategy: Any, examples: int, seed: int, tally: Tally) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def send(case: Case) -> None:
        _send(api, case, tally, has_key=tally.num_requests % 8 != 0)

    try:
        send()
    except Unsatisfiable:
        return  # nothing of this kind can be made, such as a wrong body where there is none


def _send(api: Api, case: Case, tally: Tally, *, has_key: bool) -> None:
    label = case.operation.label
    if "wait" in (case.query or {}) or label == _PLAN:
        case.query = {**case.query, "wait": _LONGEST_WAIT}
    response = _call(api, case, has_key=has_key)
    tally.num_requests += 1
    tally.statuses[response.status_code] += 1
    sent = f"{case.as_curl_command()}\n-> {response.status_code} {response.text[:300]}"
    # A plan needs a worker, which is not here: saying so is what is expected.
    is_late = label == _PLAN and response.status_code == 503 and "retry-after" in response.headers
    if response.status_code >= 500 and not is_late:
        tally.note(label, f"status {response.status_code}", sent)
    declared = set(case.operation.responses.status_codes)
    if response.status_code < 400 and str(response.status_code) not in declared:
        tally.note(label, f"undeclared status {response.status_code}", sent)
    if not has_key and response.status_code < 300 and not _is_open(case):
        tally.note(label, "an answer without a key", sent)
    try:
        case.validate_response(response, checks=[CHECKS.get_one(name) for name in _CHECKS])
    except FailureGroup as group:
        for failure in group.exceptions:
            tally.note(label, str(failure.title), f"{failure.message}\n{sent}")


def _is_open(case: Case) -> bool:
    return not case.operation.definition.raw.get("security")


def _call(api: Api, case: Case, *, has_key: bool) -> Any:
    """Send a case as `requests` serialises it, as schemathesis intends."""
    options = case.as_transport_kwargs(base_url="http://testserver")
    options.pop("verify", None)
    built = requests.Request(**options).prepare()
    headers = {name: value for name, value in built.headers.items() if name != "Authorization"}
    # The client's own would be sent along otherwise.
    saved = api.client.headers.pop("Authorization")
    if has_key:
        headers["Authorization"] = saved
    try:
        return api.client.request(
            str(built.method), str(built.url), headers=headers, content=built.body or b""
        )
    finally:
        api.client.headers["Authorization"] = saved


def _known_ids(api: Api) -> dict[str, str]:
    """Create one resource of each kind, and return their ids by path parameter."""
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "model.onnx"
        write_linear_onnx(network, np.eye(4), ["batch", 4])
        model = api.ready_model(network)
        job = _finished_job(api, model, network)
    dataset = api.client.post("/v1/datasets?name=data", content=zip_bytes(b"x.npy")).json()["id"]
    config = {"selection": {"mode": "ratio"}}
    grid = {"model": model, "config": config, "grid": {"/selection/ratio": [0.5]}}
    return {
        "model_id": model,
        "dataset_id": dataset,
        "job_id": job,
        "artifact_id": api.client.get(f"/v1/jobs/{job}/artifacts").json()[0]["id"],
        "sweep_id": api.client.post("/v1/sweeps", json=grid).json()["id"],
        "name": "config",
    }


def _finished_job(api: Api, model: str, network: Path) -> str:
    """Post a job and do what a worker does at its end."""
    job = str(api.client.post("/v1/jobs", json={"model": model}).json()["id"])
    sha256, size = api.store.put_file(network), network.stat().st_size
    files = (StoredFile("model.onnx", "application/octet-stream", sha256, size),)
    with api.sessions.begin() as session:
        held = leases.claim(session, job_id=job, owner="test", lease_seconds=30)
        assert held is not None
        leases.finish(session, held, Outcome({}, {}, files, "model.onnx", None))
    return job


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.schema", description=__doc__)
    parser.add_argument("--examples", type=int, default=40, help="Of each kind, an operation.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Part of an operation's name.")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_api(Path(folder) / "data", supervisor=Supervisor, fetch=NO_FETCH) as api,
    ):
        tally = attack(api, options.examples, options.seed, only=options.only)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    statuses = dict(sorted(tally.statuses.items()))
    console.print(json.dumps({"requests": tally.num_requests, "statuses": statuses}))
    for (operation, title), detail in tally.findings.items():
        console.print(f"\n{operation}: {title}\n{detail}")
    sys.exit(1 if tally.findings else 0)


if __name__ == "__main__":
    main()
