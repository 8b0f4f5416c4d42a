"""The client against the OpenAPI document: all that it calls, sends and reads is declared."""

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from app.contracts.job import JobState
from app.contracts.report import Report
from app.contracts.settings import Settings
from app.main import create_app
from secateur.core import endpoints
from secateur.core.endpoints import Endpoint
from secateur.options import JobOptions, ModelOptions
from secateur.types import FINAL_STATUSES, Problem, ProtocolError, Summary, results

ENDPOINTS = {name: found for name, found in vars(endpoints).items() if isinstance(found, Endpoint)}
REFERENCE = "#/components/schemas/"

# Where the document says only that there is an object, and the client says which.
NARROWER = {
    ("Model", "error"), ("Dataset", "error"),
    ("Job", "error"), ("Job", "progress"), ("Job", "result"),
    ("Page", "data"),
}  # fmt: skip
# What the client reads of one answer and does not expect in another.
NOT_IN = {("Sweep", "table"), ("Sweep", "train")}  # lists have neither

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Json:
    return create_app(Settings(data_dir=tmp_path_factory.mktemp("openapi"))).openapi()


@pytest.fixture(params=ENDPOINTS)
def endpoint(request: pytest.FixtureRequest) -> Endpoint:
    return ENDPOINTS[request.param]


def operation(document: Json, endpoint: Endpoint) -> Json:
    found: Json = document["paths"][endpoint.path][endpoint.method.lower()]
    return found


def success(found: Json) -> Json:
    """Return the content of successful answers."""
    return {
        media_type: about
        for status, answer in found["responses"].items()
        if status.startswith("2")
        for media_type, about in answer.get("content", {}).items()
    }


def test_every_parameter_header_and_body_is_declared(document: Json, endpoint: Endpoint) -> None:
    found = operation(document, endpoint)
    declared = {(p["in"], p["name"].lower()) for p in found.get("parameters", [])}
    assert {("query", name) for name in endpoint.query} <= declared
    assert {("header", name) for name in endpoint.headers} <= declared
    names = {name.strip("{}") for name in endpoint.path.split("/") if name.startswith("{")}
    assert names == {name for kind, name in declared if kind == "path"}
    bodies = found.get("requestBody", {}).get("content", {})
    assert set(endpoint.bodies) <= set(bodies)
    assert bool(endpoint.bodies) == bool(bodies), "it wants a body"
    needed = {p["name"] for p in found.get("parameters", []) if p.get("required")} - names
    assert needed == set()


def test_every_answer_is_what_the_client_reads(document: Json, endpoint: Endpoint) -> None:
    found = success(operation(document, endpoint))
    if endpoint.answer is None:
        assert not found or set(endpoint.answers) <= set(found)
        return
    assert set(endpoint.answers) <= set(found)
    theirs = resolve(found["application/json"]["schema"], document["components"]["schemas"])
    compare(schema_of(endpoint.answer), theirs)


def test_jobs_and_sweeps_send_what_may_be_posted(document: Json) -> None:
    schemas = document["components"]["schemas"]
    ids = {"model", "dataset", "config"}
    arguments = {*ids, "goal"}
    assert arguments | set(JobOptions.__annotations__) == set(schemas["JobCreate"]["properties"])
    assert {*ids, "grid", "metadata", "train"} == set(schemas["SweepCreate"]["properties"])
    assert set(ModelOptions.__annotations__) == set(endpoints.PUSH_MODEL.query) - {"filename"}


@pytest.mark.parametrize("error", [Problem, ProtocolError])
def test_errors_are_parsed_as_written(error: type[BaseModel], document: Json) -> None:
    schemas = document["components"]["schemas"]
    compare(schema_of(error), resolve(schemas[error.__name__], schemas))


def test_the_client_knows_the_final_states_of_jobs() -> None:
    assert {state.value for state in JobState if state.is_final} == FINAL_STATUSES


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (results.Latency, "LatencyReport"),
        (results.Metrics, "MetricsReport"),
        (results.Network, "NetworkReport"),
        (results.Inexact, "InexactReport"),
        (results.Equivalence, "EquivalenceReport"),
        (results.AccuracyTrial, "AccuracyTrial"),
    ],
)
def test_results_are_parts_of_the_report(ours: type[BaseModel], theirs: str) -> None:
    parts = Report.model_json_schema(mode="serialization")["$defs"]
    compare(schema_of(ours), resolve(parts[theirs], parts, "#/$defs/"))


def test_a_summary_is_a_part_of_the_report() -> None:
    assert set(Summary.model_fields) <= set(Report.model_fields)
    parts = Report.model_json_schema()["$defs"]["BaselineReport"]["properties"]
    assert set(results.Baseline.model_fields) <= set(parts)


def test_a_change_of_the_service_is_noticed(document: Json) -> None:
    """The comparison detects removed, added and retyped fields."""
    schemas = document["components"]["schemas"]
    theirs = resolve(schemas["Artifact"], schemas)
    ours = schema_of(endpoints.LIST_ARTIFACTS.answer)["items"]
    compare(ours, theirs)
    for change in (
        {"sha256": None},
        {"colour": {"type": "string"}},
        {"num_bytes": {"type": "string"}},
    ):
        properties = {**theirs["properties"], **change}
        changed = {**theirs, "properties": {k: v for k, v in properties.items() if v}}
        with pytest.raises(AssertionError):
            compare(ours, changed)


def compare(ours: Json, theirs: Json) -> None:
    """Raise if the client's type differs from the document's schema."""
    if "items" in ours and theirs.get("type") == "array":
        compare(ours["items"], theirs["items"])
        return
    if "properties" not in ours:
        assert plain(ours) == plain(theirs)
        return
    name, properties = theirs["title"].removesuffix("Detail"), theirs["properties"]
    required = set(theirs.get("required", []))
    for field, found in ours["properties"].items():
        if (name, field) in NOT_IN and field not in properties:
            continue
        assert field in properties, f"{name} has no {field}"
        if (name, field) in NARROWER:
            assert is_loose(properties[field]), f"{name}.{field} is told in detail by now"
            continue
        is_same = plain(found) == plain(properties[field])
        assert is_same, f"{name}.{field}: {plain(found)}, {plain(properties[field])}"
    missing = set(ours.get("required", [])) - required
    assert not missing, f"{name} may leave out {missing}"
    unknown = set(properties) - set(ours["properties"])
    assert not unknown, f"{name} tells more: {unknown}"


def is_loose(schema: Json) -> bool:
    """Return whether a schema is an object or a list without further constraints."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return all("properties" not in kind and not kind.get("items") for kind in kinds)


def schema_of(answer: Any) -> Json:
    schema = TypeAdapter(answer).json_schema(mode="serialization")
    return resolve(schema, schema.get("$defs", {}), "#/$defs/")


def resolve(schema: Any, parts: Json, prefix: str = REFERENCE) -> Any:
    """Return a schema with its references resolved."""
    if isinstance(schema, list):
        return [resolve(item, parts, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolve(parts[schema["$ref"].removeprefix(prefix)], parts, prefix)
    return {
        name: resolve(value, parts, prefix) for name, value in schema.items() if name != "$defs"
    }


def plain(schema: Any) -> Any:
    """Return the types of a schema, without titles, bounds and defaults."""
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Json = {}
    if "properties" in schema:
        kept["properties"] = {name: plain(value) for name, value in schema["properties"].items()}
    for name in ("type", "items", "anyOf", "const", "format"):
        if name in schema:
            kept[name] = plain(schema[name])
    if isinstance(schema.get("enum"), list):
        kept["enum"] = sorted(schema["enum"])
    if isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = plain(schema["additionalProperties"])
    if "anyOf" in kept:
        kept["anyOf"] = sorted(kept["anyOf"], key=repr)
    return kept
