"""The part of the pruning config about the machine: whether a job runs on a GPU.

No HTTP, no torch. `app.jobs.routing` chooses the queue.
"""

from typing import Literal

from pydantic import Field

from app.contracts.retrain_spec import Spec

Accelerator = Literal["auto", "gpu", "cpu"]

# The warning of a job that would have run on a GPU.
FALLBACK = "the job runs on the CPU: no worker with a GPU took jobs when it was queued"


class ResourcesSpec(Spec):
    """The machine that a job needs."""

    accelerator: Accelerator = Field(
        default="auto",
        description="auto: a GPU if a worker with one takes jobs, else the CPU; the job's warnings "
        "say so. gpu: a GPU; refused with 409 if no worker has one. cpu: never a GPU.",
    )
