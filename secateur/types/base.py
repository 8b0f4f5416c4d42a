"""The base class of all responses, and failures."""

from pydantic import BaseModel, ConfigDict

# The final states of a job.
FINAL_STATUSES = frozenset({"succeeded", "failed", "cancelled", "expired"})


class Answer(BaseModel):
    """Base class of all responses: immutable; keeps unknown fields."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Failure(Answer):
    """Why a job, a model or a data set failed; docs/errors.md lists the codes."""

    code: str
    message: str
    stage: str | None = None
    retryable: bool = False
    hint: str | None = None
