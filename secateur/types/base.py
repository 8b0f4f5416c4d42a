"""The base of all answers, and what fails."""

from pydantic import BaseModel, ConfigDict

# How jobs end.
FINAL_STATUSES = frozenset({"succeeded", "failed", "cancelled", "expired"})


class Answer(BaseModel):
    """Base of all: unchangeable, and open for what is new."""

    model_config = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Failure(Answer):
    """Why something failed; docs/errors.md lists the codes."""

    code: str
    message: str
    stage: str | None = None
    retryable: bool = False
    hint: str | None = None
