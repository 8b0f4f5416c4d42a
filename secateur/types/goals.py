"""What a job can aim at."""

from typing import Any, Literal

from secateur.types.base import Answer


class GoalView(Answer):
    """A goal: the config that it stands for, and the expected time of a job."""

    object: str = "goal"
    name: Literal["faster", "smaller", "accurate", "balanced"]
    title: str
    description: str
    config: dict[str, Any]
    num_trainings: int
    needs_data: bool
    seconds: float | None = None
    basis: str | None = None


class Goals(Answer):
    """All goals."""

    object: str = "list"
    data: list[GoalView]
