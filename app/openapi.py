"""The OpenAPI document: FastAPI's, plus bodies and headers that routes read themselves.

``POST /v1/jobs`` takes JSON or a form, which FastAPI cannot describe in one parameter. The route
references the schemas, and this module adds their definitions.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode

REFERENCE = "#/components/schemas/{model}"
_PLACEHOLDER = re.compile(r"{(\w+)}")
_OTHER_CHARACTER = re.compile(r"\W")


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
    "Idempotency-Key", "^[!-~]{1,255}$", "A repeated request with the same key creates nothing."
)
CONTENT_DIGEST = _header(
    "Content-Digest",
    "^sha-256=:[A-Za-z0-9+/=]{44}:$",
    "Expected SHA-256 of a raw body (RFC 9530).",
)


def reference(model: type[BaseModel]) -> dict[str, str]:
    """Return a reference to a model's schema."""
    return {"$ref": REFERENCE.format(model=model.__name__)}


def parameters_of(model: type[BaseModel], *names: str) -> list[dict[str, Any]]:
    """Return a model's fields, or some of them, as query parameters."""
    properties: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
    found = []
    for name in names or properties:
        schema = {k: v for k, v in properties[name].items() if (k, v) != ("default", None)}
        parameter = {"name": name, "in": "query", "required": False, "schema": schema}
        found.append({**parameter, "description": schema["description"]})
    return found


@dataclass(frozen=True)
class Operation:
    """OpenAPI operation of a route that is answered without FastAPI.

    Attributes:
        name: Name of the route, as FastAPI would derive it from a function.
        description: Description of the route.
        tag: Group of the route.
        parameters: Query and header parameters; the path gives its own.
        request: Request body.
        responses: Responses by status.
    """

    name: str
    description: str
    tag: str
    parameters: Sequence[dict[str, Any]]
    request: dict[str, Any]
    responses: dict[str, Any]

    def to_json(self, path: str) -> dict[str, Any]:
        """Return the operation at a path."""
        in_path = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "title": name.replace("_", " ").title()},
            }
            for name in _PLACEHOLDER.findall(path)
        ]
        return {
            "tags": [self.tag],
            "summary": self.name.replace("_", " ").title(),
            "description": self.description,
            "operationId": f"{_OTHER_CHARACTER.sub('_', self.name + path)}_post",
            "security": [{"HTTPBearer": []}],
            "parameters": [*in_path, *self.parameters],
            "requestBody": self.request,
            "responses": self.responses,
        }


def install_openapi(
    app: FastAPI,
    operations: Mapping[str, Operation],
    bodies: Sequence[type[BaseModel]],
    answers: Sequence[type[BaseModel]],
) -> None:
    """Add to ``app``'s document the requests and responses that FastAPI does not handle.

    Args:
        app: The application, with its routes.
        operations: Operations by path.
        bodies: Referenced models of requests.
        answers: Referenced models of responses.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            for path, operation in operations.items():
                document["paths"].setdefault(path, {})["post"] = operation.to_json(path)
            components = document.setdefault("components", {}).setdefault("schemas", {})
            for model in bodies:
                components |= _schemas(model, "validation")
            for model in answers:
                schemas = _schemas(model, "serialization")
                components |= jsonable_encoder(schemas, exclude_none=True)  # as FastAPI does
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _schemas(model: type[BaseModel], mode: JsonSchemaMode) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template=REFERENCE, mode=mode)
    return {**schema.pop("$defs", {}), model.__name__: schema}
