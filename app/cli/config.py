"""The pruning config that options make."""

import copy
import json
from typing import Any

import typer

Json = dict[str, Any]


def make_config(base: Json | None, given: Json, settings: list[str]) -> Json:
    """Return a config.

    Args:
        base: From ``--config``.
        given: Values by dotted path; those that are None are left out.
        settings: ``/selection/macs=0.5``: JSON pointers and JSON values, or text.
    """
    config = copy.deepcopy(base or {})
    for path, value in given.items():
        if value is not None:
            _put(config, path.split("."), value)
    for setting in settings:
        pointer, value = parse_setting(setting)
        _put(config, pointer[1:].split("/"), value)
    return config


def selection_of(given: Json) -> Json:
    """Return the values of a selection by path: the mode follows from which share is asked for.

    Raises:
        typer.BadParameter: More than one is.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in chosen)
        raise typer.BadParameter(f"{names} exclude each other")
    if not chosen:
        return {}
    name, value = next(iter(chosen.items()))
    mode = {"ratio": "ratio", "steepness": "steepness", "max_drop": "accuracy"}.get(name, "budget")
    return {"selection.mode": mode, f"selection.{name}": value}


def parse_setting(text: str) -> tuple[str, Any]:
    """Return the pointer and the value of ``/criterion/kind=taylor``."""
    pointer, mark, value = text.partition("=")
    if not mark or not pointer.startswith("/") or pointer == "/":
        raise typer.BadParameter(f"{text!r} is no setting such as /selection/macs=0.5")
    return pointer, parse_value(value)


def parse_value(text: str) -> Any:  # noqa: ANN401  # any JSON
    """Return a JSON value; what is none is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _put(config: Json, path: list[str], value: Any) -> None:  # noqa: ANN401  # any JSON
    for part in path[:-1]:
        config = config.setdefault(part, {})
        if not isinstance(config, dict):
            raise typer.BadParameter(f"{part!r} of the config has no members")
    config[path[-1]] = value
