"""``/v1/schemas``: JSON Schemas of configs, preprocessing and reports."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from app.contracts.errors import NotFoundError
from app.contracts.report import Report
from app.contracts.spec import PreprocessSpec, PruneConfig
from app.contracts.titles import titled
from app.http.limits import OPEN, limits
from app.http.problems import RESPONSES

router = APIRouter(prefix="/v1/schemas", tags=["schemas"], responses=RESPONSES)

_SCHEMAS: dict[str, type[BaseModel]] = {
    "config": PruneConfig,
    "preprocess": PreprocessSpec,
    "report": Report,
}


@router.get("/{name}")
@limits(OPEN)
def read(name: str) -> dict[str, Any]:
    """Read one of ``config``, ``preprocess`` and ``report``."""
    if name not in _SCHEMAS:
        raise NotFoundError(f"there is no schema {name[:64]!r}; there are {sorted(_SCHEMAS)}")
    return titled(_SCHEMAS[name].model_json_schema())
