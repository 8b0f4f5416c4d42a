"""The OpenAPI document: FastAPI's own, plus the bodies and headers that routes read by themselves.

``POST /v1/jobs`` takes JSON or a form, which FastAPI cannot say of one parameter; the route names
the schemas, and this module puts their definitions where the references lead.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

REFERENCE = "#/components/schemas/{model}"


def _header(name: str, pattern: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string", "pattern": pattern},
        "description": description,
    }


# For ``openapi_extra=`` of routes.
IDEMPOTENCY_KEY = _header(
    "Idempotency-Key", "^[!-~]{1,255}$", "The same request again under the same key makes nothing."
)
CONTENT_DIGEST = _header(
    "Content-Digest",
    "^sha-256=:[A-Za-z0-9+/=]{44}:$",
    "What a raw body's SHA-256 must be (RFC 9530).",
)


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to a model's schema."""
    return {"$ref": REFERENCE.format(model=model.__name__)}


def install_openapi(
    app: FastAPI, *models: type[BaseModel], others: Sequence[BaseRoute] = ()
) -> None:
    """Make ``app`` describe ``models`` among its components, and ``others`` among its routes."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=[*app.routes, *others],
            )
            components = document.setdefault("components", {}).setdefault("schemas", {})
            for model in models:
                schema = model.model_json_schema(ref_template=REFERENCE)
                components |= schema.pop("$defs", {})
                components[model.__name__] = schema
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents
