"""Messages between a supervisor and the process of its job.

The supervisor writes one ``request.json`` in the job's private directory. The child answers with
one JSON message per line, over an inherited pipe, and writes files to the request's ``output_dir``.
There is no pickle and no shared memory, and the child needs neither database nor object store.

The child opens untrusted files, so its messages are untrusted too. Texts and names are bounded
here, lengths and pace in `message_reader`, and numbers in `recorder`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from app.contracts.job import FailureCode, JobKind, Stage
from app.contracts.layers import PlanSummary
from app.contracts.settings import LimitSettings
from app.contracts.spec import ArchitectureSpec, PreprocessSpec, PruneConfig

Json = dict[str, Any]

PROBE = "probe"  # name of a file with the name of a device, instead of a request
MOST_CHARACTERS = 2000
_Text = Annotated[str, Field(max_length=MOST_CHARACTERS)]
_Step = Annotated[int, Field(ge=0, lt=2**53)]
_Seconds = Annotated[float, Field(ge=0, le=1e9)]


def shorten(text: str) -> str:
    """Return a text that fits into a message."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelInput(_Message):
    """The model file that a job reads."""

    path: Path
    format: str = Field(description="Name of the format in `MODEL_FORMATS`.")
    id: str
    name: str
    sha256: str
    architecture: ArchitectureSpec | None = Field(
        default=None, description="Set for formats that hold weights only."
    )


class DatasetInput(_Message):
    """The data set file that a job reads."""

    path: Path
    format: str = Field(description="Name of the format in `DATASET_FORMATS`.")
    id: str
    name: str
    sha256: str
    preprocess: PreprocessSpec = PreprocessSpec()


class LatenciesInput(_Message):
    """The file of latencies by which a job chooses widths."""

    path: Path
    id: str
    name: str


class JobRequest(_Message):
    """The request of a job's process: job, config, input files, folders and limits."""

    job_id: str
    kind: JobKind
    attempt: int
    config: PruneConfig = PruneConfig()
    model: ModelInput | None = None
    dataset: DatasetInput | None = None
    latencies: LatenciesInput | None = Field(
        default=None, description="Set if the config names a target."
    )
    output_dir: Path
    checkpoint_dir: Path
    checkpoint_seconds: float = Field(
        default=60.0,
        description="Interval at which training saves its state, in addition to every epoch.",
    )
    latency_seconds: float = Field(
        default=1.0, description="How long latencies are measured, for each batch size."
    )
    preview_seconds: float = Field(
        default=15.0, description="How long a preview may repair the planned network."
    )
    cache_dir: Path | None = Field(
        default=None, description="Cache shared by the jobs of one worker, such as saliencies."
    )
    time_limit_seconds: float | None = Field(
        default=None, description="Seconds left to the job; None: no limit."
    )
    device: str = "cpu"
    fallback: str | None = Field(
        default=None, description="Why the job runs on the CPU although it may use a GPU."
    )
    num_threads: int = Field(default=0, description="0: one per core.")
    serving_num_threads: int = Field(
        default=1, description="ONNX Runtime threads of /infer, also used to measure latency."
    )
    serving_provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        default="cpu", description="Provider of /infer, with which latencies are measured."
    )
    serving_cpu: Literal["auto", "vnni", "avx2", "arm"] = Field(
        default="auto", description="Processor of /infer, for int8 files; auto: the worker's."
    )
    limits: LimitSettings = Field(
        default=LimitSettings(), description="Size limits of models and data sets."
    )

    def require_model(self) -> ModelInput:
        """Return the model.

        Raises:
            ValueError: The job has no model.
        """
        if self.model is None:
            raise ValueError(f"a job of kind {self.kind} needs a model")
        return self.model

    def require_dataset(self) -> DatasetInput:
        """Return the data set.

        Raises:
            ValueError: The job has no data set.
        """
        if self.dataset is None:
            raise ValueError(f"a job of kind {self.kind} needs a data set")
        return self.dataset

    def subject(self) -> list[str | None]:
        """Return config, model and data set as text, to match saved states to this job."""
        data = self.dataset
        return [
            self.config.model_dump_json(),
            self.require_model().sha256,
            None if data is None else data.sha256,
        ]


class StageStarted(_Message):
    """A stage begins."""

    type: Literal["stage"] = "stage"
    stage: Stage


class Progress(_Message):
    """Progress within a stage; `fraction` and the seconds refer to the whole job."""

    type: Literal["progress"] = "progress"
    fraction: Annotated[float, Field(ge=0, le=1)]
    step: _Step
    num_steps: _Step
    message: _Text
    eta_seconds: _Seconds | None = None  # until the job ends; None while unknown
    elapsed_seconds: _Seconds | None = None  # since this attempt began


class Metric(_Message):
    """Numbers to record, such as the losses of an epoch."""

    type: Literal["metric"] = "metric"
    data: Json
    key: str | None = Field(
        default=None,
        pattern="^[a-z0-9.]{1,100}$",
        description="The same in every attempt that reports these numbers; they are stored once.",
    )


class Planned(_Message):
    """The plan is made; sent again if training changes it."""

    type: Literal["planned"] = "planned"
    plan: PlanSummary


class Warned(_Message):
    """Something the user should know that does not end the job."""

    type: Literal["warning"] = "warning"
    message: _Text
    code: str | None = Field(
        default=None, pattern="^[a-z0-9_]{1,64}$", description="Code of a finding in the report."
    )
    severity: Literal["serious", "notice"] | None = None
    replaces: _Text | None = Field(default=None, description="A warning that no longer holds.")

    @model_validator(mode="after")
    def _is_a_finding_or_text(self) -> Self:
        if (self.code is None) != (self.severity is None):
            raise ValueError("a finding has a code and a severity")
        return self


class Saved(_Message):
    """The child has saved a checkpoint in ``checkpoint_dir``."""

    type: Literal["saved"] = "saved"


MediaType = Literal[
    "application/json",
    "application/octet-stream",
    "application/zip",
    "image/svg+xml",
    "text/html; charset=utf-8",
    "text/plain; charset=utf-8",
]


class OutputFile(_Message):
    """One output file in ``output_dir``."""

    name: str = Field(pattern=r"^[a-z0-9_]{1,64}\.[a-z0-9]{1,16}$")
    media_type: MediaType


class Succeeded(_Message):
    """The last message of a child that succeeded.

    The job object shows ``result`` (prune: ``summary``). ``report`` is the verdict stored with the
    model (intake and prune) or the summary stored with the data set (intake of a data set).
    """

    type: Literal["succeeded"] = "succeeded"
    result: Json
    report: Json
    files: tuple[OutputFile, ...] = ()
    onnx: str | None = Field(default=None, description="Name of the file that /infer serves.")
    program: str | None = Field(default=None, description="Name of the .pt2 of the new model.")
    int8: str | None = Field(
        default=None, description="Name of the file that /infer serves as variant int8."
    )

    @model_validator(mode="after")
    def _names_its_files(self) -> Self:
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError("two files have one name")
        for name, suffix in (
            (self.onnx, ".onnx"),
            (self.program, ".pt2"),
            (self.int8, ".onnx"),
        ):
            if name is not None and (name not in names or not name.endswith(suffix)):
                raise ValueError(f"{name!r} is not among the files, or is not a {suffix} file")
        return self


class Failed(_Message):
    """The last message of a child that failed."""

    type: Literal["failed"] = "failed"
    code: FailureCode
    message: _Text
    stage: Stage | None = None
    hint: _Text = Field(default="", description="What to do; empty: the hint of the code.")


Message = Annotated[
    StageStarted | Progress | Metric | Planned | Warned | Saved | Succeeded | Failed,
    Field(discriminator="type"),
]
MESSAGES: TypeAdapter[Message] = TypeAdapter(Message)
