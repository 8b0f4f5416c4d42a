"""Tags: words that users give to models, data sets and jobs, to find them by."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query
from pydantic import AfterValidator, Field
from sqlalchemy import ColumnElement, String, cast, true

from app.text import Line, NameText

Tags = Annotated[
    tuple[Annotated[NameText, Field(min_length=1, max_length=64)], ...],
    Field(max_length=20, description="Words to find it by."),
    AfterValidator(lambda tags: tuple(dict.fromkeys(tags))),
]
TagsWanted = Annotated[
    Sequence[Annotated[Line, Field(min_length=1, max_length=64)]],
    Query(alias="tag", max_length=20, description="Only rows with all these tags."),
]


def has_tags(column: Any, tags: Sequence[str]) -> ColumnElement[bool]:  # noqa: ANN401  # SQL
    """Return the condition that a column holds all these tags."""
    found: ColumnElement[bool] = true()
    for tag in tags:
        found &= cast(column, String).icontains(json.dumps(tag), autoescape=True)
    return found


def has_text(column: Any, text: str) -> ColumnElement[bool]:  # noqa: ANN401  # SQL
    """Return the condition that one of a column's tags holds a text."""
    return cast(column, String).icontains(json.dumps(text)[1:-1], autoescape=True)
