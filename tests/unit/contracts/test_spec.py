"""The config of a job."""

from collections.abc import Iterator
from typing import Any

from app.contracts.spec import PruneConfig


def _unbounded(node: Any, path: str = "") -> Iterator[str]:  # a JSON schema
    """Yield the paths of lists and mappings that may have any number of entries."""
    if isinstance(node, list):
        for each in node:
            yield from _unbounded(each, path)
    if not isinstance(node, dict):
        return
    if node.get("type") == "array" and "maxItems" not in node:
        yield path
    if node.get("additionalProperties", False) is not False and "maxProperties" not in node:
        yield path
    for key, each in node.items():
        yield from _unbounded(each, f"{path}/{key}")


def test_every_list_in_a_config_has_a_limit() -> None:
    assert list(_unbounded(PruneConfig.model_json_schema())) == []
