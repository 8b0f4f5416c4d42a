"""What a supervisor and its job's process say to each other.

Down: one ``request.json`` in the job's private directory. Up: one JSON message a line, over a pipe
the child inherits. Files go to the request's ``output_dir``. No pickle, no shared memory, and the
child needs neither database nor object store.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.contracts.job import FailureCode, JobKind, Stage
from app.contracts.layers import PlanSummary
from app.contracts.settings import LimitSettings
from app.contracts.spec import ArchitectureSpec, PreprocessSpec, PruneConfig

Json = dict[str, Any]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class JobRequest(_Message):
    """Everything the job's process is told."""

    job_id: str
    kind: JobKind
    attempt: int
    config: PruneConfig = PruneConfig()
    model_path: Path | None = None
    architecture: ArchitectureSpec | None = Field(
        default=None, description="Of a model that came as safetensors."
    )
    model_id: str | None = None
    model_name: str | None = None
    model_sha256: str | None = None
    dataset_path: Path | None = None
    dataset_id: str | None = None
    dataset_name: str | None = None
    dataset_sha256: str | None = None
    dataset_format: Literal["npz", "zip", "tar", "parquet"] | None = None
    preprocess: PreprocessSpec | None = None
    class_names: tuple[str, ...] | None = None
    output_dir: Path
    checkpoint_dir: Path
    checkpoint_seconds: float = Field(
        default=60.0, description="How often training saves its state, besides every epoch."
    )
    cache_dir: Path | None = Field(
        default=None, description="What jobs of one worker share, such as saliencies."
    )
    time_limit_seconds: float | None = Field(
        default=None, description="That are left to the job, where that has a limit."
    )
    device: str = "cpu"
    num_threads: int = Field(default=0, description="0: as many as cores.")
    serving_num_threads: int = Field(
        default=1, description="ONNX Runtime threads that /infer uses; latency is measured so."
    )
    limits: LimitSettings = Field(
        default=LimitSettings(), description="What is refused for its size."
    )


class StageStarted(_Message):
    """The child begins a stage."""

    type: Literal["stage"] = "stage"
    stage: Stage


class Progress(_Message):
    """The child is somewhere in its stage; fraction and seconds are of the whole job."""

    type: Literal["progress"] = "progress"
    fraction: Annotated[float, Field(ge=0, le=1)]
    step: int
    num_steps: int
    message: str
    eta_seconds: float | None = None  # until its end; None while nothing is known
    elapsed_seconds: float | None = None  # since this attempt began


class Metric(_Message):
    """Numbers worth keeping, such as the losses of an epoch."""

    type: Literal["metric"] = "metric"
    data: Json


class Planned(_Message):
    """What will be removed is decided; said again if training changes it."""

    type: Literal["planned"] = "planned"
    plan: PlanSummary


class Warned(_Message):
    """Something the user should know that does not end the job."""

    type: Literal["warning"] = "warning"
    message: str
    code: str | None = Field(default=None, description="Of a finding, as the report has it.")
    severity: Literal["serious", "notice"] | None = None


class Saved(_Message):
    """The child has saved a state in ``checkpoint_dir`` from which it can go on."""

    type: Literal["saved"] = "saved"


class OutputFile(_Message):
    """One file the child left in ``output_dir``."""

    name: str = Field(pattern=r"^[a-z0-9_]+\.[a-z0-9]+$")
    media_type: str


class Succeeded(_Message):
    """The last message of a child that did what it was asked.

    ``result`` is what the job object shows (prune: ``summary``), ``report`` the verdict stored with
    the model (intake and prune) or the summary stored with the data set (intake of a data set).
    """

    type: Literal["succeeded"] = "succeeded"
    result: Json
    report: Json
    files: tuple[OutputFile, ...] = ()
    onnx: str | None = Field(default=None, description="Name of the file that /infer serves.")
    program: str | None = Field(default=None, description="Name of the .pt2 of the new model.")


class Failed(_Message):
    """The last message of a child that could not."""

    type: Literal["failed"] = "failed"
    code: FailureCode
    message: str = Field(max_length=2000)
    stage: Stage | None = None
    hint: str = Field(
        default="", max_length=2000, description="What to do; empty: what the code's table says."
    )


Message = Annotated[
    StageStarted | Progress | Metric | Planned | Warned | Saved | Succeeded | Failed,
    Field(discriminator="type"),
]
MESSAGES: TypeAdapter[Message] = TypeAdapter(Message)
