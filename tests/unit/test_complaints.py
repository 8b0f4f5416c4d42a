"""Validation errors in our own words: the value, what it must be, and a suggestion."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core._pydantic_core import list_all_errors

from app.contracts.complaints import KNOWN_TYPES, complaints
from app.contracts.spec import ArchitectureSpec, PreprocessSpec, PruneConfig
from app.datasets.schemas import DatasetPatch
from app.inference.schemas import Parameters
from app.jobs.schemas import JobCreate
from app.models.schemas import ModelPatch
from app.registry.schemas import AliasPut
from app.sweeps.schemas import SweepCreate

SCHEMAS: tuple[type[BaseModel], ...] = (
    JobCreate, SweepCreate, PruneConfig, PreprocessSpec, ArchitectureSpec, ModelPatch,
    DatasetPatch, AliasPut, Parameters,
)  # fmt: skip
# Of pydantic's errors: which a part of a schema can raise, by its type and by its limits.
RAISES: dict[str, set[str]] = {
    "int": {"int_type", "int_parsing", "int_from_float", "int_parsing_size"},
    "float": {"float_type", "float_parsing", "finite_number"},
    "bool": {"bool_type", "bool_parsing"},
    "str": {"string_type", "string_unicode", "string_sub_type"},
    "literal": {"literal_error"},
    "list": {"list_type"},
    "tuple": {"tuple_type"},
    "dict": {"dict_type", "invalid_key"},
    "model": {"model_type", "model_attributes_type"},
    "model-fields": {"missing", "extra_forbidden"},
    "tagged-union": {"union_tag_invalid", "union_tag_not_found"},
    "function-after": {"value_error", "assertion_error"},
    "function-before": {"value_error", "assertion_error"},
    "function-wrap": {"value_error", "assertion_error"},
    "function-plain": {"value_error", "assertion_error"},
    "url": {"url_type", "url_parsing", "url_syntax_violation", "url_too_long", "url_scheme"},
    "secret-str": set(),
    "any": set(), "nullable": set(), "union": set(), "default": set(), "definitions": set(),
    "definition-ref": set(), "model-field": set(), "lax-or-strict": set(), "json-or-python": set(),
    "no-info": set(), "with-info": set(), "chain": set(),
    "is-instance": {"is_instance_of"}, "none": {"none_required"},
}  # fmt: skip
LIMITS = {
    "gt": "greater_than", "ge": "greater_than_equal", "lt": "less_than", "le": "less_than_equal",
    "multiple_of": "multiple_of", "pattern": "string_pattern_mismatch",
}  # fmt: skip


def said(body: Any, schema: type[BaseModel] = PruneConfig) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(body)
    return [(found.pointer, found.detail) for found in complaints(caught.value, schema)]


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema
        for name, inner in schema.items():
            if name not in {"metadata", "serialization", "expected", "default", "cls"}:
                yield from parts(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from parts(inner)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_error_that_a_schema_can_raise_has_words_of_ours(schema: type[BaseModel]) -> None:
    found = {"json_invalid", "json_type"}
    for part in parts(schema.__pydantic_core_schema__):
        found |= RAISES[part["type"]]
        found |= {error for limit, error in LIMITS.items() if limit in part}
        if "min_length" in part or "max_length" in part:
            kind = "string_" if part["type"] == "str" else ""
            found |= {f"{kind}too_short", f"{kind}too_long"}
    assert found <= KNOWN_TYPES


@pytest.mark.parametrize("error", list_all_errors(), ids=lambda error: error["type"])
def test_no_message_is_written_by_pydantic(error: Any) -> None:
    context = error.get("example_context") or {}
    message = error["example_message_python"]
    item = {"type": error["type"], "loc": ("a",), "input": 1, "ctx": context, "msg": message}
    (found,) = complaints([item])
    assert found.detail
    assert "should" not in found.detail
    assert " ".join(message.split()[:3]) not in found.detail


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"selectoin": {}}, "/selectoin", "did you mean 'selection'?"),
        ({"epochs": 5}, "/epochs", "did you mean 'retrain.epochs'?"),
        ({"retrain": {"optimizer": {"lr": 1}}}, "/retrain/optimizer/lr", "'learning_rate'?"),
        (
            {"selection": {"mode": "ratio", "macs": 0.5, "ratio": 0.5}},
            "/selection/macs", "goes with mode 'budget'",
        ),
        ({"selection": {"mode": "budgett"}}, "/selection/mode", "did you mean 'budget'?"),
        ({"selection": {"mode": "ratio"}}, "/selection/ratio", "is missing"),
        ({"selection": {"mode": "budget", "macs": 2}}, "/selection/macs", "below 1, not 2"),
        ({"selection": {"round_to": 7.5}}, "/selection/round_to", "number or auto, not 7.5"),
        ({"criterion": {"kind": "taylr"}}, "/criterion/kind", "did you mean 'taylor'?"),
        ({"selection": {"layers": {"a/b": {"ratoi": 1}}}}, "/selection/layers/a~1b/ratoi", "ratio"),
        ({"selection": {"exclude": "fc*"}}, "/selection/exclude", 'a list, not "fc*"'),
        ({"baselines": "maybe"}, "/baselines", "true or false"),
        ({"selection": {"mode": "budget"}}, "/selection", "exactly one of"),
    ],
)  # fmt: skip
def test_errors_in_a_config_point_to_the_field(body: Any, pointer: str, words: str) -> None:
    ((found, detail),) = said(body)
    assert found == pointer
    assert words in detail


def test_the_length_of_a_text_is_in_characters() -> None:
    long, empty = said({"name": "x" * 201, "tags": [""]}, ModelPatch)
    assert long[0] == "/name"
    assert long[1].startswith("must be text of at most 200 characters, not ")
    assert empty == ("/tags/0", 'must be text of at least 1 character, not ""')


def test_secrets_are_not_shown_again() -> None:
    body = {"model": "m", "webhook": {"url": "https://a.example", "secret": 12345}}
    assert "12345" not in str(said(body, JobCreate))
