"""Search in the list of jobs: by text, tag, status, model and data set."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query
from sqlalchemy import ColumnElement, Select, or_, select

from app.contracts.job import JobState
from app.listing import Narrow
from app.records.tables import JobRow, ModelRow
from app.tags import TagsWanted, has_tags, has_text
from app.text import Line

Search = Annotated[
    Line | None,
    Query(
        min_length=1,
        max_length=100,
        description="Only jobs with this text in their name, in a tag or in their model's name, "
        "and the job with this id. Case is ignored.",
    ),
]
StatesWanted = Annotated[
    Sequence[JobState],
    Query(alias="status", max_length=10, description="Only jobs with one of these statuses."),
]
IdWanted = Annotated[Line | None, Query(max_length=64, description="Only jobs of this id.")]


def narrow(
    search: Search = None,
    tags: TagsWanted = (),
    statuses: StatesWanted = (),
    model: IdWanted = None,
    dataset: IdWanted = None,
) -> Narrow:
    """Return what narrows the list of jobs to those that a request asks for."""

    def narrowed(query: Select[JobRow]) -> Select[JobRow]:
        if search is not None:
            query = query.where(_has_text(search))
        if tags:
            query = query.where(has_tags(JobRow.tags, tags))
        if statuses:
            query = query.where(JobRow.state.in_(statuses))
        if model is not None:
            query = query.where(JobRow.model_id == model)
        return query if dataset is None else query.where(JobRow.dataset_id == dataset)

    return narrowed


def _has_text(text: str) -> ColumnElement[bool]:
    named = select(ModelRow.id).where(
        ModelRow.tenant == JobRow.tenant, ModelRow.name.icontains(text, autoescape=True)
    )
    return or_(
        JobRow.id == text,
        JobRow.name.icontains(text, autoescape=True),
        has_text(JobRow.tags, text),
        JobRow.model_id.in_(named),
    )
