"""Goals: what a user wants of the smaller network, each with the config that it stands for.

The API, the dashboard's form and the command line read this list. `secateur.options.Goal` repeats
the names for the client; `tests/unit/test_surface.py` compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from app.contracts.suggestions import suggestion

GoalName = Literal["faster", "smaller", "accurate", "balanced"]


@dataclass(frozen=True)
class Goal:
    """A goal and its config.

    Attributes:
        name: Its name in requests.
        title: What the user gets.
        description: What a job with this goal does.
        config: The config that it stands for; everything else has its default.
        needs_data: Whether it needs a data set.
    """

    name: GoalName
    title: str
    description: str
    config: Mapping[str, Any]
    needs_data: bool = False


GOALS = (
    Goal(
        name="balanced",
        title="Balanced",
        description="Removes 30 % of the multiply-accumulates where the damage is smallest. A "
        "cautious start: most networks keep their accuracy.",
        config={"selection": {"mode": "budget", "macs": 0.7}},
    ),
    Goal(
        name="faster",
        title="2x faster",
        description="Prunes until half of the latency is left, as measured on the worker, and "
        "uses only widths that are fast there.",
        config={"selection": {"mode": "budget", "latency": 0.5, "round_to": "auto"}},
    ),
    Goal(
        name="smaller",
        title="Half the size",
        description="Removes half of the parameters, so the file is about half as large.",
        config={"selection": {"mode": "budget", "params": 0.5}},
    ),
    Goal(
        name="accurate",
        title="At most 1 % loss",
        description="Searches for the smallest network that loses at most one percentage point: "
        "tries up to five sizes, and trains the smallest good one.",
        config={"selection": {"mode": "accuracy", "max_drop": 0.01, "max_trials": 5}},
        needs_data=True,
    ),
)


def find_goal(text: str) -> Goal | None:
    """Return a goal by its name or its title; case and spaces do not matter."""
    wanted = _plain(text)
    return next((g for g in GOALS if wanted in {_plain(g.name), _plain(g.title)}), None)


def goal_name(text: object) -> object:
    """Return the name of a goal given by name or title.

    Raises:
        ValueError: There is no such goal; the message lists them.
    """
    if not isinstance(text, str):
        return text
    goal = find_goal(text)
    if goal is None:
        known = ", ".join(f"{goal.name} ({goal.title})" for goal in GOALS)
        meant = suggestion(text.lower(), get_args(GoalName))
        raise ValueError(f"{text[:64]!r} is not a goal{meant or '.'} Goals are {known}")
    return goal.name


def _plain(text: str) -> str:
    return "".join(text.lower().replace("\N{MULTIPLICATION SIGN}", "x").split())
