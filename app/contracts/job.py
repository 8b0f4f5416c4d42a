"""The life cycle of a job as pure code: states, allowed moves, stages and the list of failures.

This module uses neither rows nor a clock. `records` enforces the moves with guarded updates.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class JobState(StrEnum):
    """State of a job."""

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
        """Whether the job has ended; only a failed one can be tried again."""
        return self in FINAL


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
    # A job may end before its worker sees the request to pause.
    JobState.PAUSING: frozenset(
        {JobState.PAUSED, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED}
    ),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),  # tried again by its user
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})

# States in which a worker holds (or held) a lease on the job.
LEASED = frozenset({JobState.RUNNING, JobState.CANCELLING, JobState.PAUSING})


class JobKind(StrEnum):
    """Kind of a job row; users see only ``prune``."""

    PRUNE = "prune"
    PLAN = "plan"  # preview of a pruning job; deleted once its result is returned
    INTAKE_MODEL = "intake_model"
    INTAKE_DATASET = "intake_dataset"


class Stage(StrEnum):
    """The stages of a pruning job, in order.

    Attributes:
        does: Description for people.
        percent: Share of the progress bar, in percent, by the times of a short job.
        search_percent: The same for a search, which retrains while it selects.
        tail: Expected time after training: seconds, plus a multiple of the time of stage prune;
            None for stages before the end of training.
    """

    does: str
    percent: int
    search_percent: int
    tail: tuple[float, float] | None

    def __new__(
        cls,
        name: str,
        does: str = "",  # defaults are needed for look-ups: Stage("prune")
        percent: int = 0,
        search_percent: int = 0,
        tail: tuple[float, float] | None = None,
    ) -> Self:
        """Create the member ``name``."""
        stage = str.__new__(cls, name)
        stage._value_ = name
        stage.does, stage.tail = does, tail
        stage.percent, stage.search_percent = percent, search_percent
        return stage

    INTAKE = "intake", "Reads the model and the data", 5, 5
    SALIENCY = "saliency", "Measures the saliency of each filter", 5, 5
    SELECT = "select", "Selects the filters to remove", 1, 64
    PRUNE = "prune", "Removes the selected filters", 9, 4
    REPAIR = "repair", "Refits the kept weights", 3, 1
    RETRAIN = "retrain", "Retrains the pruned network", 57, 1
    VERIFY = "verify", "Verifies the outputs of the pruned network", 3, 3, (0.5, 0.5)
    EXPORT = "export", "Writes and measures the files", 10, 10, (8.0, 0.5)
    QUANTIZE = "quantize", "Writes an int8 file, if asked for", 5, 5, (20.0, 1.0)
    PACKAGE = "package", "Writes the report and the manifest", 2, 2, (1.0, 0.0)


@dataclass(frozen=True)
class Failure:
    """Properties of a failure code: whether to retry, and the default message and hint."""

    is_retryable: bool
    message: str
    hint: str


class FailureCode(StrEnum):
    """Cause of a job's failure: a closed list, public API."""

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
    DEVICE_UNAVAILABLE = "device_unavailable"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    OUTPUT_REFUSED = "output_refused"
    DISK_LIMIT = "disk_limit"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


FAILURES: dict[FailureCode, Failure] = {
    FailureCode.MODEL_REJECTED: Failure(
        is_retryable=False,
        message="The model file was refused.",
        hint="The message says what to change. Models are files of torch.export with a dynamic "
        "batch, or ONNX files.",
    ),
    FailureCode.UNSUPPORTED_OP: Failure(
        is_retryable=False,
        message="The model calls an operator that is not supported.",
        hint="The message names the operator and the line of your model that calls it.",
    ),
    FailureCode.TOO_LARGE: Failure(
        is_retryable=False,
        message="The model or the data set is over a limit.",
        hint="The message names the value and the limit, which the operator may raise.",
    ),
    FailureCode.NOTHING_PRUNABLE: Failure(
        is_retryable=False,
        message="No channel of the model can be removed under this config.",
        hint="See the frozen filters in the model's report; lower min_channels or round_to.",
    ),
    FailureCode.PLAN_IMPOSSIBLE: Failure(
        is_retryable=False,
        message="The selection cannot be met.",
        hint="The message gives the nearest selection that can be met.",
    ),
    FailureCode.EQUIVALENCE_FAILED: Failure(
        is_retryable=False,
        message="The outputs of the pruned network differ from those of the masked network.",
        hint="Nothing was stored. This is a bug in Secateur: please report it with the model.",
    ),
    FailureCode.EXPORT_FAILED: Failure(
        is_retryable=False,
        message="The outputs of the exported ONNX file differ from those of the network.",
        hint="Nothing was stored. The message gives the measured error.",
    ),
    FailureCode.OUT_OF_MEMORY: Failure(
        is_retryable=True,
        message="The job ran out of memory.",
        hint="Use a smaller retrain.batch_size, or a worker with more memory.",
    ),
    FailureCode.DATA_ERROR: Failure(
        is_retryable=False,
        message="The data set does not fit the model or the objective.",
        hint="Correct what the message names, and upload the data set again.",
    ),
    FailureCode.DATA_DOES_NOT_FIT: Failure(
        is_retryable=False,
        message="The dense network performs poorly on these samples, so nothing was pruned.",
        hint="Usually the preprocessing differs from the network's training: upload the "
        "data with its mean and std, or with labels in the network's order. If the "
        'network is expected to perform this poorly, set {"sanity": {"action": '
        '"warn"}} in the config.',
    ),
    FailureCode.NAN_LOSS: Failure(
        is_retryable=False,
        message="The training loss became NaN or infinite.",
        hint="Use a smaller retrain.optimizer.learning_rate.",
    ),
    FailureCode.TIME_LIMIT: Failure(
        is_retryable=False,
        message="The job ran past its time limit.",
        hint="Use fewer epochs or samples, or ask the operator to raise the limit.",
    ),
    FailureCode.WORKER_LOST: Failure(
        is_retryable=True,
        message="The job's worker disappeared in every attempt.",
        hint="Post the job again; tell the operator if it happens again.",
    ),
    FailureCode.WORKER_UNFIT: Failure(
        is_retryable=True,
        message="The worker cannot run jobs: a required library cannot be loaded.",
        hint="Tell the operator: `secateur doctor` on the worker's machine shows what is missing.",
    ),
    FailureCode.DEVICE_UNAVAILABLE: Failure(
        is_retryable=True,
        message="The worker's GPU does not compute.",
        hint="Post the job again, or with resources.accelerator cpu; tell the operator.",
    ),
    FailureCode.STORAGE_UNAVAILABLE: Failure(
        is_retryable=True,
        message="The object store could not be reached.",
        hint="Post the job again later.",
    ),
    FailureCode.OUTPUT_REFUSED: Failure(
        is_retryable=False,
        message="What the job's process wrote or reported was refused.",
        hint="The message names what was refused, and any limit, which the operator may raise.",
    ),
    FailureCode.DISK_LIMIT: Failure(
        is_retryable=False,
        message="The job wrote more to the worker's disk than one job may.",
        hint="Use a smaller data set, or ask the operator to raise the limit (WORKER__DISK_BYTES).",
    ),
    FailureCode.CANCELLED: Failure(
        is_retryable=False, message="The job was cancelled.", hint="Post the job again."
    ),
    FailureCode.INTERNAL: Failure(
        is_retryable=True,
        message="An internal error occurred in Secateur.",
        hint="Post the job again; report it with the job's id if it happens again.",
    ),
}
