"""The life of a job as pure code: states, legal moves, stages and the closed list of failures.

No row and no clock here; `records` enforces these moves by guarded updates, and the API and
the worker both read them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class JobState(StrEnum):
    """Where a job is."""

    VALIDATING = "validating"  # waits for the intake of its model and data set
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the job any more."""
        return not MOVES[self]


MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.VALIDATING: frozenset(
        {JobState.QUEUED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED}
    ),
    JobState.QUEUED: frozenset(
        {JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED, JobState.EXPIRED}
    ),
    JobState.RUNNING: frozenset(
        {
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.QUEUED,  # lease lost, or handed back at shutdown
            JobState.CANCELLING,
            JobState.PAUSING,
        }
    ),
    # A job may end before its worker hears of the pause.
    JobState.PAUSING: frozenset(
        {JobState.PAUSED, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED}
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

# States in which a worker holds (or held) a lease on the job.
LEASED = frozenset({JobState.RUNNING, JobState.CANCELLING, JobState.PAUSING})


class JobKind(StrEnum):
    """What a job row asks for; users see only ``prune``."""

    PRUNE = "prune"
    PLAN = "plan"  # what a pruning job would do; forgotten once it is answered
    INTAKE_MODEL = "intake_model"
    INTAKE_DATASET = "intake_dataset"


class Stage(StrEnum):
    """The steps of a pruning job, in order: all that is known of a stage is written here.

    Attributes:
        does: What it does, for people.
        percent: Its share of the progress bar, by what a short job spends.
        search_percent: The same where a search retrains while it selects, and has the network then.
        tail: What it takes after training: seconds, and a share of what the stage prune took; None
            for the stages that are over by then.
    """

    does: str
    percent: int
    search_percent: int
    tail: tuple[float, float] | None

    def __new__(
        cls,
        name: str,
        does: str = "",  # the defaults are for the look-up: Stage("prune")
        percent: int = 0,
        search_percent: int = 0,
        tail: tuple[float, float] | None = None,
    ) -> Self:
        """Return the member that is the text ``name``."""
        stage = str.__new__(cls, name)
        stage._value_ = name
        stage.does, stage.tail = does, tail
        stage.percent, stage.search_percent = percent, search_percent
        return stage

    INTAKE = "intake", "Reads the model and the data", 5, 5
    SALIENCY = "saliency", "Measures the saliency of each filter", 5, 5
    SELECT = "select", "Selects the filters to remove", 1, 70
    PRUNE = "prune", "Removes the selected filters", 9, 4
    RETRAIN = "retrain", "Retrains the pruned network", 65, 1
    VERIFY = "verify", "Verifies the outputs of the pruned network", 3, 3, (0.5, 0.5)
    EXPORT = "export", "Writes and measures the files", 10, 10, (8.0, 0.5)
    PACKAGE = "package", "Writes the report and the manifest", 2, 2, (1.0, 0.0)


@dataclass(frozen=True)
class Failure:
    """What a failure code promises."""

    is_retryable: bool
    message: str
    hint: str


class FailureCode(StrEnum):
    """Why a job failed: a closed list, public API."""

    MODEL_REJECTED = "model_rejected"
    UNSUPPORTED_OP = "unsupported_op"
    TOO_LARGE = "too_large"
    NOTHING_PRUNABLE = "nothing_prunable"
    PLAN_IMPOSSIBLE = "plan_impossible"
    EQUIVALENCE_FAILED = "equivalence_failed"
    EXPORT_FAILED = "export_failed"
    OUT_OF_MEMORY = "out_of_memory"
    DATA_ERROR = "data_error"
    DATA_DOES_NOT_FIT = "data_does_not_fit"
    NAN_LOSS = "nan_loss"
    TIME_LIMIT = "time_limit"
    WORKER_LOST = "worker_lost"
    WORKER_UNFIT = "worker_unfit"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


FAILURES: dict[FailureCode, Failure] = {
    FailureCode.MODEL_REJECTED: Failure(
        is_retryable=False,
        message="The model file was refused.",
        hint="Export it with torch.export.export and torch.export.save, with a dynamic batch.",
    ),
    FailureCode.UNSUPPORTED_OP: Failure(
        is_retryable=False,
        message="The model calls an operator that is not supported.",
        hint="The message names the operator and the line of your model that calls it.",
    ),
    FailureCode.TOO_LARGE: Failure(
        is_retryable=False,
        message="The model or the data set is past a limit.",
        hint="The message names the value and the limit, which the operator may raise.",
    ),
    FailureCode.NOTHING_PRUNABLE: Failure(
        is_retryable=False,
        message="No channel of the model can be removed under this config.",
        hint="See the model's report for what is frozen and why; relax min_channels or round_to.",
    ),
    FailureCode.PLAN_IMPOSSIBLE: Failure(
        is_retryable=False,
        message="The selection cannot be met.",
        hint="The message gives the nearest point that can be reached.",
    ),
    FailureCode.EQUIVALENCE_FAILED: Failure(
        is_retryable=False,
        message="The smaller network does not compute what the masked network computes.",
        hint="Nothing was stored. This is a defect of Secateur: please report it with the model.",
    ),
    FailureCode.EXPORT_FAILED: Failure(
        is_retryable=False,
        message="The exported ONNX file does not compute what the network computes.",
        hint="Nothing was stored. The message gives the error that was measured.",
    ),
    FailureCode.OUT_OF_MEMORY: Failure(
        is_retryable=True,
        message="The job ran out of memory.",
        hint="Use a smaller retrain.batch_size, or a worker with more memory.",
    ),
    FailureCode.DATA_ERROR: Failure(
        is_retryable=False,
        message="The data set does not fit the model or the objective.",
        hint="Compare the sample shape and the labels with the model's report.",
    ),
    FailureCode.DATA_DOES_NOT_FIT: Failure(
        is_retryable=False,
        message="The dense network does not know these samples, so nothing was pruned.",
        hint="Mostly the data lack the preprocessing of the network's training: upload them with "
        "its mean and std, or with labels in the network's order. If the network is meant to be "
        'this poor, set {"sanity": {"action": "warn"}} in the config.',
    ),
    FailureCode.NAN_LOSS: Failure(
        is_retryable=False,
        message="The training loss became NaN or infinite.",
        hint="Use a smaller retrain.optimizer.learning_rate.",
    ),
    FailureCode.TIME_LIMIT: Failure(
        is_retryable=False,
        message="The job ran past its time limit.",
        hint="Ask for fewer epochs or samples, or have the limit raised.",
    ),
    FailureCode.WORKER_LOST: Failure(
        is_retryable=True,
        message="The worker that ran the job disappeared, as often as the job may be tried.",
        hint="Post the job again; tell the operator if it happens again.",
    ),
    FailureCode.WORKER_UNFIT: Failure(
        is_retryable=True,
        message="The worker cannot run jobs: something that it needs cannot be loaded.",
        hint="Tell the operator: `secateur doctor` on the worker's machine says what is missing.",
    ),
    FailureCode.STORAGE_UNAVAILABLE: Failure(
        is_retryable=True,
        message="The object store could not be reached.",
        hint="Post the job again later.",
    ),
    FailureCode.CANCELLED: Failure(
        is_retryable=False, message="The job was cancelled.", hint="Post the job again."
    ),
    FailureCode.INTERNAL: Failure(
        is_retryable=True,
        message="Something broke inside Secateur.",
        hint="Post the job again; report it with the job's id if it happens again.",
    ),
}
