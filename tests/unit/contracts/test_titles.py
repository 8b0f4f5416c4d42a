"""Every field that the dashboard's forms show has a title for people."""

import re

import pytest
from pydantic import BaseModel

from app.contracts.spec import PreprocessSpec, PruneConfig
from app.contracts.titles import TITLES, titled


@pytest.mark.parametrize("spec", [PruneConfig, PreprocessSpec])
def test_every_field_has_a_title(spec: type[BaseModel]) -> None:
    schema = titled(spec.model_json_schema())
    parts = {**schema["$defs"], spec.__name__: schema}
    known = set(TITLES.values())
    missing = [
        f"{part}.{name}: add a title to app/contracts/titles.py"
        for part, found in parts.items()
        for name, field in found.get("properties", {}).items()
        if field.get("title") not in known
    ]
    assert missing == []


def test_every_title_belongs_to_a_field_and_fits_a_label() -> None:
    fields = set()
    for spec in (PruneConfig, PreprocessSpec):
        schema = spec.model_json_schema()
        for part, found in {**schema.get("$defs", {}), spec.__name__: schema}.items():
            fields |= {f"{part}.{name}" for name in found.get("properties", {})}
    plain = {name.partition(".")[2] for name in fields}
    assert [name for name in TITLES if name not in fields | plain] == []
    for title in TITLES.values():
        assert len(title) <= 56, title
        assert re.match("[A-Z]", title), title
        assert "_" not in title
