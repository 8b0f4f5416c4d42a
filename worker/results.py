"""Check the result of a job's process before it is stored: the API reads it again and again.

The process opens untrusted files. A field of another type would make every page of a list that
shows it an error. Only what the API reads is checked; the rest is passed on to clients.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.contracts.bench import Bench
from app.contracts.examples import MOST_EXAMPLES, Example
from app.contracts.job import JobKind
from app.contracts.report import (
    Finding,
    Int8Report,
    LoadReport,
    NetworkReport,
    PlannedQuality,
    SpeedupReport,
    TargetReport,
)
from app.contracts.spec import PreprocessSpec
from app.contracts.task_spec import StoredTask
from worker.messages import MOST_CHARACTERS, Succeeded


class ResultRefusedError(Exception):
    """A result is not one of its kind of job; the text is safe to show to users."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class _Output(_Part):
    name: str
    kind: str | None = None


class _Int8(_Part):
    reason: str = Field(max_length=MOST_CHARACTERS)


class _Verdict(_Part):
    num_parameters: int | None = None
    macs: int | None = None
    inputs: list[dict[str, Any]] | None = None
    outputs: list[_Output] | None = None
    task: StoredTask | None = None
    bench: Bench | None = None
    int8: _Int8 | None = None


class _DatasetSummary(_Part):
    num_samples: int | None = None
    class_names: list[str] | None = None
    notes: list[str] = []
    preprocess: PreprocessSpec = PreprocessSpec()
    examples: tuple[Example, ...] = Field(default=(), max_length=MOST_EXAMPLES)


class _Speedup(SpeedupReport):
    ratio: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)


class _Summary(_Part):
    dense: NetworkReport | None = None
    retrained: NetworkReport | None = None
    metric: str | None = None
    speedups: list[_Speedup] = []
    load: LoadReport | None = None
    int8: Int8Report | None = None
    findings: list[Finding] = []


class _PruneResult(_Part):
    summary: _Summary


class _PlanResult(_Part):
    config: dict[str, Any]
    fingerprint: str
    dense: dict[str, int]
    pruned: dict[str, int]
    left: dict[str, float]
    groups: list[dict[str, Any]]
    criteria_agreement: dict[str, float]
    latency_trials: list[dict[str, float]]
    quality: PlannedQuality | None = None
    target: TargetReport | None = None
    warnings: list[str]
    findings: list[Finding] = []


def check_result(kind: JobKind, message: Succeeded) -> None:
    """Check the files and fields of a result.

    Raises:
        ResultRefusedError: A file is missing, or a field is not what the API reads.
    """
    if kind == JobKind.PRUNE and message.program is None and message.onnx is None:
        raise ResultRefusedError("the job's process reported no program and no ONNX file")
    try:
        if kind == JobKind.PRUNE:
            _PruneResult.model_validate(message.result)
        elif kind == JobKind.PLAN:
            _PlanResult.model_validate(message.result)
        if kind in {JobKind.PRUNE, JobKind.INTAKE_MODEL}:
            _Verdict.model_validate(message.report)
        elif kind == JobKind.INTAKE_DATASET:
            _DatasetSummary.model_validate(message.report)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place, reason = ".".join(map(str, first["loc"]))[:100], first["msg"][:200]
        text = f"the result of the job's process is not as it must be, at {place}: {reason}"
        raise ResultRefusedError(text) from error
