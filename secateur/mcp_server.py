"""Model Context Protocol: the client's operations as tools for an assistant.

``secateur mcp`` serves them on standard input and output. The assistant acts with the API key of
whoever starts the server; files are read and written on their machine.
"""

import inspect
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import wraps
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from secateur.async_client import AsyncClient
from secateur.errors import JobNotSucceededError, SecateurError, WaitTimeoutError
from secateur.options import Goal, ModelOptions
from secateur.types import Dataset, JobData, Label, Model, Plan

P = ParamSpec("P")
T = TypeVar("T")

_INSTRUCTIONS = """\
Secateur makes convolutional networks smaller and faster: it removes the least important filters, \
retrains the network, and checks that the result is right. A usual session: push_model and \
push_dataset (or names from list_models and list_datasets), plan to see what would go, prune, \
wait_for_job until the job has ended, then tell the user the headline of its verdict and the next \
steps, and download the files. Ask the user before you cancel a job."""

ModelName = Annotated[str, Field(description="Id or name of a model, or the path of a file.")]
DataName = Annotated[
    str | None,
    Field(description="Id or name of a data set, or the path of a file; none: no retraining."),
]
JobId = Annotated[str, Field(description="A job's id (job_...).")]
GoalName = Annotated[
    Goal | None,
    Field(
        description="What to aim at, instead of a config: balanced (70 % of the computation), "
        "faster (half the latency), smaller (half the parameters), accurate (at most one point)."
    ),
]
PruneConfig = Annotated[
    dict[str, Any] | None,
    Field(
        description="How to prune; describe_config returns the schema. Half the computation: "
        '{"selection": {"mode": "budget", "macs": 0.5}}. At most one point of accuracy: '
        '{"selection": {"mode": "accuracy", "max_drop": 0.01}}. No retraining: '
        '{"retrain": {"epochs": 0}}.'
    ),
]
Count = Annotated[int, Field(ge=1, le=500, description="How many, newest first.")]
_READS = ToolAnnotations(read_only_hint=True)
_MOST_WAIT_SECONDS, _PROGRESS_SECONDS = 3600.0, 2.0


class JobState(BaseModel):
    """What an assistant needs to know of a job.

    Attributes:
        job: The job's id.
        status: Such as ``queued``, ``running`` or ``succeeded``.
        stage: The stage that runs.
        progress: Share of the whole job that is done, 0 to 1.
        seconds_left: Estimated seconds until the end.
        model: The model that was pruned.
        verdict: Whether to ship the result, with the reasons and next steps.
        result: Sizes, quality and speed of the dense and the pruned network.
        error: Why the job failed.
        warnings: What is doubtful.
    """

    job: str
    status: str
    stage: str | None
    progress: float | None
    seconds_left: float | None
    model: str | None
    verdict: dict[str, Any] | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    warnings: list[str]

    @classmethod
    def of(cls, job: JobData) -> "JobState":
        """Return the state of a job."""
        progress = job.progress
        found = job.result.model_dump(mode="json", exclude_none=True) if job.result else None
        return cls(
            job=job.id,
            status=job.status,
            stage=job.stage,
            progress=progress.fraction if progress else None,
            seconds_left=progress.eta_seconds if progress else None,
            model=job.model,
            verdict=found["summary"].pop("verdict", None) if found else None,
            result=found,
            error=job.error.model_dump(mode="json") if job.error else None,
            warnings=job.warnings,
        )


def create_server(client: AsyncClient) -> MCPServer[Any]:
    """Return a server with one tool for each operation of a client."""
    server: MCPServer[Any] = MCPServer(
        "secateur", title="Secateur", instructions=_INSTRUCTIONS, log_level="WARNING"
    )
    for tool in _Tools(client).all():
        server.add_tool(_explained(tool), annotations=_annotations(tool))
    return server


def _annotations(tool: Callable[..., Any]) -> ToolAnnotations | None:
    return _READS if tool.__name__ in _Tools.READING else None


def _explained(tool: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Return a tool whose errors reach the assistant with their details."""

    @wraps(tool)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await tool(*args, **kwargs)
        except (SecateurError, OSError) as error:
            raise ToolError(str(error)) from error

    return call


class _Tools:
    READING = frozenset(
        "list_models list_datasets list_jobs describe_config explain_model plan get_job "
        "wait_for_job classify_images".split()
    )

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    def all(self) -> list[Callable[..., Awaitable[Any]]]:
        """Return the tools: every public coroutine function of this object."""
        found = inspect.getmembers(self, inspect.iscoroutinefunction)
        return [tool for name, tool in found if not name.startswith("_")]

    async def list_models(self, limit: Count = 20) -> list[Model]:
        """List the models of the service, uploaded and pruned."""
        return await self._client.models(limit)

    async def list_datasets(self, limit: Count = 20) -> list[Dataset]:
        """List the data sets of the service."""
        return await self._client.datasets(limit)

    async def list_jobs(self, limit: Count = 20) -> list[JobState]:
        """List pruning jobs with their state."""
        return [JobState.of(job) for job in await self._client.jobs(limit)]

    async def push_model(
        self,
        path: Annotated[str, Field(description="A .pt2, .onnx or .safetensors file.")],
        name: Annotated[str | None, Field(description="Name; default: the file's.")] = None,
        architecture: Annotated[
            str | None,
            Field(description="For .safetensors only, such as torchvision/resnet18."),
        ] = None,
        num_classes: Annotated[int | None, Field(description="For .safetensors only.")] = None,
    ) -> Model:
        """Upload a model file and wait until the service has checked it."""
        given = {"name": name, "architecture": architecture, "num_classes": num_classes}
        options: ModelOptions = {k: v for k, v in given.items() if v is not None}  # type: ignore[assignment]
        return await self._client.push(path, **options)

    async def push_dataset(
        self,
        path: Annotated[str, Field(description="A .npz, .zip, .tar or .parquet file.")],
        name: Annotated[str | None, Field(description="Name; default: the file's.")] = None,
        preprocess: Annotated[
            Literal["imagenet", "unit", "symmetric", "from-data"] | None,
            Field(description="How the network's training turned pixels into inputs."),
        ] = None,
    ) -> Dataset:
        """Upload samples and wait until the service has checked them."""
        return await self._client.push_dataset(path, name=name, preprocess=preprocess)

    async def describe_config(self) -> dict[str, Any]:
        """Return the JSON Schema of a pruning config, with a description of every key."""
        return await self._client.config_schema()

    async def explain_model(
        self, model: Annotated[str, Field(description="Id of a model.")]
    ) -> dict[str, Any]:
        """Return a model's report: operators, channel groups, what is frozen and why."""
        return await self._client.report(model)

    async def plan(
        self,
        model: ModelName,
        data: DataName = None,
        config: PruneConfig = None,
        goal: GoalName = None,
    ) -> Plan:
        """Return what a job would keep, without pruning anything."""
        return await self._client.plan(model, data, config, goal=goal)

    async def prune(
        self,
        model: ModelName,
        data: DataName = None,
        config: PruneConfig = None,
        goal: GoalName = None,
    ) -> JobState:
        """Start a pruning job. It runs on the service; wait_for_job follows it."""
        return JobState.of(await self._client.prune(model, data, config, goal=goal))

    async def get_job(self, job: JobId) -> JobState:
        """Return the state, result and verdict of a job."""
        return JobState.of(await self._client.get_job(job))

    async def wait_for_job(
        self,
        job: JobId,
        context: Context[Any, Any],
        seconds: Annotated[
            float, Field(gt=0, le=_MOST_WAIT_SECONDS, description="How long to wait at most.")
        ] = 50.0,
    ) -> JobState:
        """Wait until a job has ended or the time is over, and return its state."""
        end = time.monotonic() + seconds
        while not (state := await self._client.get_job(job)).is_final:
            left = end - time.monotonic()
            if left <= 0:
                break
            if state.progress is not None:
                await context.report_progress(state.progress.fraction, 1.0, state.stage)
            with suppress(WaitTimeoutError, JobNotSucceededError):
                await state.wait(timeout=min(_PROGRESS_SECONDS, left))
        return JobState.of(state)

    async def control_job(
        self, job: JobId, action: Literal["pause", "resume", "retry", "cancel"]
    ) -> JobState:
        """Pause, resume, retry or cancel a job."""
        calls = {
            "pause": self._client.pause,
            "resume": self._client.resume,
            "retry": self._client.retry,
            "cancel": self._client.cancel,
        }
        return JobState.of(await calls[action](job))

    async def download_files(
        self,
        job: JobId,
        folder: Annotated[str, Field(description="Folder for the files; made if it is missing.")],
        names: Annotated[
            list[str] | None, Field(description="Such as model.onnx; default: all files.")
        ] = None,
    ) -> list[str]:
        """Download the files of a finished job and return their paths. Existing files stay."""
        return [str(path) for path in await self._client.download(job, folder, names)]

    async def classify_images(
        self,
        model: Annotated[str, Field(description="Id, name, name@version or name@alias.")],
        paths: Annotated[list[str], Field(description="Image files.", min_length=1)],
        variant: Annotated[
            Literal["pruned", "base", "int8"],
            Field(
                description="base: the network that the model was pruned from. int8: its int8 form."
            ),
        ] = "pruned",
        top_k: Annotated[int, Field(ge=1, le=100, description="Labels per image.")] = 5,
    ) -> list[list[Label]]:
        """Return the most likely classes of image files."""
        return await self._client.infer_images(model, paths, top_k, variant=variant)
