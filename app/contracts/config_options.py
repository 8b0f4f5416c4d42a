"""Build the pruning config from the options of `secateur` and `secateur-engine`."""

import copy
import json
from typing import Any

from app.contracts.goals import GOALS, Goal, goal_name

Json = dict[str, Any]


class OptionError(ValueError):
    """Options contradict each other or do not exist in the config."""


def make_config(base: Json | None, given: Json, settings: list[str]) -> Json:
    """Merge ``--config``, options and ``--set`` into one config; later sources override.

    Args:
        base: Config given with ``--config``.
        given: Values by dotted path. None means the option was not given.
        settings: Assignments such as ``/selection/macs=0.5``: a JSON pointer and a JSON value or
            plain text.

    Raises:
        OptionError: An assignment is malformed, or a path leads through a value that is
            not an object.
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
    """Return the selection's values by dotted path. The option given decides the mode.

    Raises:
        OptionError: More than one option is given.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in chosen)
        raise OptionError(f"{names} are mutually exclusive: give one of them")
    if not chosen:
        return {}
    name, value = next(iter(chosen.items()))
    mode = {"ratio": "ratio", "steepness": "steepness", "max_drop": "accuracy"}.get(name, "budget")
    return {"selection.mode": mode, f"selection.{name}": value}


def goal_of(text: str | None, config: Json | None, selection: Json) -> Goal | None:
    """Return the goal of ``--goal``, or None if the option was not given.

    Raises:
        OptionError: There is no such goal, or ``--config`` or another amount is given too.
    """
    if text is None:
        return None
    if config:
        raise OptionError("--goal and --config are mutually exclusive: a goal stands for a config")
    if selection:
        raise OptionError("--goal already says how much to remove: leave out the other option")
    try:
        name = goal_name(text)
    except ValueError as error:
        raise OptionError(f"--goal: {error}") from error
    return next(goal for goal in GOALS if goal.name == name)


def parse_setting(text: str) -> tuple[str, Any]:
    """Split an assignment such as ``/criterion/kind=taylor`` into pointer and value.

    Raises:
        OptionError: The text is not of the form ``/POINTER=VALUE``.
    """
    pointer, mark, value = text.partition("=")
    if not mark or not pointer.startswith("/") or pointer == "/":
        raise OptionError(f"{text!r} is not of the form /selection/macs=0.5")
    return pointer, parse_value(value)


def parse_value(text: str) -> Any:  # noqa: ANN401  # any JSON value
    """Return the parsed JSON value, or the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _put(config: Json, path: list[str], value: Any) -> None:  # noqa: ANN401  # any JSON value
    for part in path[:-1]:
        config = config.setdefault(part, {})
        if not isinstance(config, dict):
            raise OptionError(f"{part!r} in the config is not an object")
    config[path[-1]] = value
