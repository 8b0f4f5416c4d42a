"""``/v1/goals``: what a job can aim at, with config, cost and expected time."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.contracts.epochs import num_runs
from app.contracts.goals import GOALS, Goal, GoalName
from app.contracts.spec import PruneConfig
from app.datasets import service as datasets
from app.dependencies import ContextDep, PrincipalDep
from app.http.problems import RESPONSES
from app.jobs.estimates import estimate, past_jobs
from app.models import service as models
from app.records.database import reading
from app.text import Line

router = APIRouter(prefix="/v1/goals", tags=["jobs"], responses=RESPONSES)

ModelWanted = Annotated[Line | None, Query(max_length=300, description="A model's id or name.")]
DatasetWanted = Annotated[
    Line | None, Query(max_length=200, description="A data set's id or name.")
]


class GoalView(BaseModel):
    """A goal of a pruning job."""

    object: str = "goal"
    name: GoalName
    title: str
    description: str
    config: dict[str, Any] = Field(description="Config that the goal stands for.")
    num_trainings: int = Field(description="Trainings that a job should have the time for.")
    needs_data: bool
    seconds: float | None = Field(
        default=None, description="Expected running time of a job; null: unknown."
    )
    basis: str | None = Field(
        default=None,
        description="What the time is based on: jobs like it, other jobs here, or its size.",
    )


class Goals(BaseModel):
    """All goals."""

    object: str = "list"
    data: list[GoalView]


@router.get("")
def list_goals(
    context: ContextDep,
    principal: PrincipalDep,
    model: ModelWanted = None,
    dataset: DatasetWanted = None,
) -> Goals:
    """List the goals; with a model, also how long a job would run."""
    principal.require("jobs:read")
    if model is None:
        return Goals(data=[_show(goal) for goal in GOALS])
    tenant, device = principal.tenant, context.settings.worker.device
    with reading(context.sessions) as session:
        network = models.find_to_prune(session, tenant, model)
        data = None if dataset is None else datasets.find(session, tenant, dataset)
        past = past_jobs(session, tenant, device)
        found = []
        for goal in GOALS:
            config = PruneConfig.model_validate(goal.config)
            expected = estimate(network, data, config, past)
            shown = _show(goal)
            if expected is not None:
                shown.seconds, shown.basis = expected.seconds, expected.basis
            found.append(shown)
    return Goals(data=found)


def _show(goal: Goal) -> GoalView:
    return GoalView(
        name=goal.name,
        title=goal.title,
        description=goal.description,
        config=dict(goal.config),
        num_trainings=num_runs(PruneConfig.model_validate(goal.config)),
        needs_data=goal.needs_data,
    )
