"""The service's responses as typed models.

Unknown fields of a newer service are kept in ``model_extra`` and are never an error.
`tests/unit/client/test_openapi.py` compares every field with the service's OpenAPI document.
"""

from secateur.types.base import FINAL_STATUSES, Answer, Failure
from secateur.types.goals import Goals, GoalView
from secateur.types.inference import (
    BaseAnswer,
    ComparisonAnswer,
    InferAnswer,
    Label,
    ModelMetadata,
    TensorMetadata,
    VariantSeconds,
)
from secateur.types.jobs import (
    Artifact,
    ComparedJob,
    Event,
    JobComparison,
    JobData,
    Plan,
    Progress,
    Webhook,
)
from secateur.types.models import Dataset, Model
from secateur.types.results import (
    AccuracyTrial,
    Baseline,
    Candidate,
    Change,
    Epochs,
    Equivalence,
    Finding,
    Inexact,
    JobResult,
    Kept,
    Latency,
    Load,
    Metrics,
    Network,
    NextStep,
    ResultFile,
    Speedup,
    Summary,
    Verdict,
)
from secateur.types.service import Page, Problem, ProblemDetail, ProtocolError, Quota, TenantQuotas
from secateur.types.sweeps import SweepData, SweepRow

__all__ = [
    "FINAL_STATUSES",
    "AccuracyTrial",
    "Answer",
    "Artifact",
    "BaseAnswer",
    "Baseline",
    "Candidate",
    "Change",
    "ComparedJob",
    "ComparisonAnswer",
    "Dataset",
    "Epochs",
    "Equivalence",
    "Event",
    "Failure",
    "Finding",
    "GoalView",
    "Goals",
    "Inexact",
    "InferAnswer",
    "JobComparison",
    "JobData",
    "JobResult",
    "Kept",
    "Label",
    "Latency",
    "Load",
    "Metrics",
    "Model",
    "ModelMetadata",
    "Network",
    "NextStep",
    "Page",
    "Plan",
    "Problem",
    "ProblemDetail",
    "Progress",
    "ProtocolError",
    "Quota",
    "ResultFile",
    "Speedup",
    "Summary",
    "SweepData",
    "SweepRow",
    "TenantQuotas",
    "TensorMetadata",
    "VariantSeconds",
    "Verdict",
    "Webhook",
]
