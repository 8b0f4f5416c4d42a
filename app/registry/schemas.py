"""Request and response schemas of aliases."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.paging import to_time
from app.records.tables import AliasRow
from app.text import Line

_MAX_TARGETS = 16

Name = Annotated[Line, Path(min_length=1, max_length=200, description="A model's name.")]
# Starts with a letter, since a segment of digits is a version.
AliasName = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,62}$",
        description="An alias, such as production or canary.",
    ),
]


class AliasTarget(BaseModel):
    """A version and its share of the requests."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(pattern=r"^[1-9][0-9]{0,8}$")
    weight: int = Field(default=1, ge=1, le=1_000_000, description="Relative to the other weights.")


class AliasPut(BaseModel):
    """New target of an alias."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"targets": [{"version": "2", "weight": 10}, {"version": "1", "weight": 90}]}
        },
    )

    targets: list[AliasTarget] = Field(min_length=1, max_length=_MAX_TARGETS)

    @model_validator(mode="after")
    def _names_each_version_once(self) -> "AliasPut":
        versions = [target.version for target in self.targets]
        for version in versions:
            if versions.count(version) > 1:
                raise ValueError(f"version {version} is named {versions.count(version)} times")
        return self


class AliasChange(BaseModel):
    """Previous target of an alias."""

    targets: list[AliasTarget]
    until: datetime | None


class Alias(BaseModel):
    """A name for one version or several versions that share the requests."""

    object: Literal["alias"] = "alias"
    name: str
    alias: str
    targets: list[AliasTarget]
    history: list[AliasChange] = Field(description="Earlier targets, newest first.")
    created_at: datetime | None
    updated_at: datetime | None


class AliasList(BaseModel):
    """All aliases of a name."""

    object: Literal["list"] = "list"
    data: list[Alias]
    has_more: Literal[False] = False


def to_alias(row: AliasRow) -> Alias:
    """Return the API's representation of a row."""
    return Alias(
        name=row.name,
        alias=row.alias,
        targets=_to_targets(row.targets),
        history=[
            AliasChange(targets=_to_targets(change["targets"]), until=to_time(change["until"]))
            for change in row.history
        ],
        created_at=to_time(row.created_at),
        updated_at=to_time(row.updated_at),
    )


def _to_targets(weights: dict[str, int]) -> list[AliasTarget]:
    return [AliasTarget(version=version, weight=weight) for version, weight in weights.items()]
