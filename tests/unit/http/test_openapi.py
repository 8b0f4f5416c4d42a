"""The operations of the OpenAPI document compared with ``operations.txt``.

``python -m tests.unit.http.test_openapi`` writes the file anew.
"""

from pathlib import Path
from typing import Any

from app.contracts.settings import Settings
from app.inference.routes import hot_routes
from app.inference.schemas import Parameters, Question
from app.main import create_app
from app.open_inference.infer import hot_routes as open_routes

SNAPSHOT = Path(__file__).parent / "operations.txt"

Json = dict[str, Any]


def document() -> Json:
    return create_app(Settings()).openapi()


def lines(found: Json) -> list[str]:
    """Return one line for each operation: its name, inputs and answers."""
    return sorted(
        line(path, method, operation)
        for path, item in found["paths"].items()
        for method, operation in item.items()
    )


def line(path: str, method: str, operation: Json) -> str:
    names = [f"{p['in']}:{p['name']}" for p in operation.get("parameters", ())]
    body = sorted(operation.get("requestBody", {}).get("content", ()))
    answers = [
        f"{status}({' '.join(sorted(answer.get('content', ())))})"
        for status, answer in sorted(operation["responses"].items())
    ]
    parts = (operation["operationId"], " ".join(names), " ".join(body), " ".join(answers))
    return f"{method.upper()} {path} | " + " | ".join(parts)


def test_the_operations_are_those_of_the_snapshot() -> None:
    assert lines(document()) == SNAPSHOT.read_text().splitlines()


def test_hot_routes_are_described_with_what_they_read() -> None:
    found = document()
    for route in (*hot_routes, *open_routes):
        operation = found["paths"][route.path]["post"]
        in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert in_path == set(route.param_convertors)
        assert operation["security"] == [{"HTTPBearer": []}]
    query = {p["name"] for p in found["paths"]["/infer"]["post"]["parameters"]}
    assert query == {*Question.model_fields, *Parameters.model_fields}


def test_every_reference_leads_somewhere() -> None:
    found = document()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                *_, name = reference.split("/")
                assert name in found["components"]["schemas"], reference
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(found)


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(lines(document())) + "\n")
