"""`AsyncClient`: the service from asyncio; what the methods do is told in `secateur.client`."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, overload

import httpx

from secateur.async_jobs import AsyncJob, AsyncSweep
from secateur.comparison import Comparison
from secateur.core import endpoints
from secateur.core.async_transport import AsyncTransport
from secateur.core.calls import Context, call, exchange
from secateur.core.connection import Connection
from secateur.core.downloads import FileProgress, download_all
from secateur.core.endpoints import Endpoint
from secateur.core.events import follow
from secateur.core.jobs import create_job, plan_job, wait_for_job
from secateur.core.lists import list_all
from secateur.core.requests import ByteProgress, make_request
from secateur.core.steps import Flow
from secateur.core.sweeps import create_sweep, wait_for_sweep
from secateur.core.targets import job_body, reference
from secateur.core.uploads import dataset_query, push_dataset, push_model
from secateur.local import Target, find_target
from secateur.options import (
    AnyPath,
    Config,
    DataLike,
    JobOptions,
    ModelLike,
    ModelOptions,
    Preprocess,
    Servable,
    Variant,
)
from secateur.types import (
    Artifact,
    Dataset,
    Event,
    JobData,
    Label,
    Model,
    Plan,
    SweepData,
    TenantQuotas,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


T = TypeVar("T")


class AsyncClient:
    """A service, and a key for it: ``async with AsyncClient() as client``.

    The arguments are those of `Client`.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 5,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.target: Target = find_target(url, api_key)
        connection = Connection(self.target.url, self.target.api_key, timeout, verify)
        self._transport = AsyncTransport(connection, transport)
        self._context = Context(self.target.url, retries)

    @property
    def url(self) -> str:
        """The service's."""
        return self.target.url

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # Models and data sets

    async def push(
        self,
        path: AnyPath,
        *,
        on_progress: ByteProgress | None = None,
        timeout: float | None = None,
        **options: Unpack[ModelOptions],
    ) -> Model:
        """Upload a model and return it when the intake has accepted it."""
        return await self._run(push_model(self._context, Path(path), options, on_progress, timeout))

    async def push_dataset(
        self,
        path: AnyPath,
        *,
        name: str | None = None,
        preprocess: Preprocess | None = None,
        on_progress: ByteProgress | None = None,
        timeout: float | None = None,
    ) -> Dataset:
        """Upload samples and return the data set when the intake has accepted it."""
        query = dataset_query(name, preprocess)
        return await self._run(push_dataset(self._context, Path(path), query, on_progress, timeout))

    async def models(self, limit: int | None = 100) -> list[Model]:
        """List models, newest first; all with ``limit=None``."""
        return await self._run(list_all(self._context, endpoints.LIST_MODELS, limit))

    async def datasets(self, limit: int | None = 100) -> list[Dataset]:
        """List data sets, newest first; all with ``limit=None``."""
        return await self._run(list_all(self._context, endpoints.LIST_DATASETS, limit))

    async def get_model(self, model_id: str) -> Model:
        """Read a model."""
        return await self._read(endpoints.READ_MODEL, Model, model_id)

    async def get_dataset(self, dataset_id: str) -> Dataset:
        """Read a data set."""
        return await self._read(endpoints.READ_DATASET, Dataset, dataset_id)

    async def report(self, model: Model | str) -> dict[str, Any]:
        """Read the intake's verdict: operators, channel groups, what is frozen and why."""
        return await self._read(endpoints.READ_REPORT, dict[str, Any], reference(model))

    async def delete_model(self, model: Model | str) -> None:
        """Delete a model that no live job uses."""
        await self._run(
            exchange(self._context, make_request(endpoints.DELETE_MODEL, reference(model)))
        )

    async def delete_dataset(self, dataset: Dataset | str) -> None:
        """Delete a data set that no live job uses."""
        dataset_id = dataset.id if isinstance(dataset, Dataset) else dataset
        await self._run(exchange(self._context, make_request(endpoints.DELETE_DATASET, dataset_id)))

    # Jobs

    async def prune(
        self,
        model: ModelLike,
        data: DataLike | None = None,
        config: Config | None = None,
        *,
        preprocess: Preprocess | None = None,
        on_progress: ByteProgress | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """Post a job and return it; `AsyncJob.wait` waits for its result."""
        members = {"config": dict(config or {}), **options}
        body = await self._run(
            job_body(self._context, model, data, members, preprocess, on_progress)
        )
        return AsyncJob.of(self, await self._run(create_job(self._context, body)))

    async def plan(
        self,
        model: ModelLike,
        data: DataLike | None = None,
        config: Config | None = None,
        *,
        timeout: float = 60.0,
    ) -> Plan:
        """Return what a job would leave; nothing is pruned, and no job is stored."""
        members = {"config": dict(config or {})}
        body = await self._run(job_body(self._context, model, data, members, None, None))
        return await self._run(plan_job(self._context, body, timeout))

    async def jobs(self, limit: int | None = 100) -> list[AsyncJob]:
        """List jobs, newest first; all with ``limit=None``."""
        found = await self._run(list_all(self._context, endpoints.LIST_JOBS, limit))
        return [AsyncJob.of(self, job) for job in found]

    async def get_job(self, job_id: str) -> AsyncJob:
        """Read a job."""
        return await self._job(endpoints.READ_JOB, job_id)

    async def wait(
        self,
        job: JobData | str,
        timeout: float | None = None,
        on_progress: Callable[[JobData], None] | None = None,
    ) -> AsyncJob:
        """Return a job when it has succeeded; see `AsyncJob.wait`."""
        known = await self.get_job(job) if isinstance(job, str) else job
        return AsyncJob.of(
            self, await self._run(wait_for_job(self._context, known, timeout, on_progress))
        )

    def events(self, job_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Yield the events of a job with a number above ``after``, until it has ended."""
        return self._transport.iterate(follow(self._context, job_id, after))

    async def pause(self, job_id: str) -> AsyncJob:
        """Save a job's state and let its worker go."""
        return await self._job(endpoints.PAUSE_JOB, job_id)

    async def resume(self, job_id: str) -> AsyncJob:
        """Let a paused job go on where it was saved."""
        return await self._job(endpoints.RESUME_JOB, job_id)

    async def cancel(self, job_id: str) -> AsyncJob:
        """Cancel a job that has not ended."""
        return await self._job(endpoints.CANCEL_JOB, job_id)

    async def artifacts(self, job_id: str) -> list[Artifact]:
        """List the files that a job made."""
        return await self._read(endpoints.LIST_ARTIFACTS, list[Artifact], job_id)

    async def download(
        self,
        job_id: str,
        folder: AnyPath,
        names: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
        on_progress: FileProgress | None = None,
    ) -> list[Path]:
        """Download a job's files, or those named; see `AsyncJob.download`."""
        flow = download_all(
            self._context, job_id, Path(folder), names, on_progress, is_overwriting=overwrite
        )
        return await self._run(flow)

    # Sweeps

    async def sweep(
        self,
        model: ModelLike,
        data: DataLike | None = None,
        *,
        grid: Mapping[str, Sequence[Any]],
        config: Config | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> AsyncSweep:
        """Post a job for every point of a grid."""
        members = {
            "grid": {pointer: list(values) for pointer, values in grid.items()},
            "config": dict(config or {}),
            "metadata": dict(metadata or {}),
        }
        body = await self._run(job_body(self._context, model, data, members, None, None))
        return AsyncSweep.of(self, await self._run(create_sweep(self._context, body)))

    async def sweeps(self, limit: int | None = 100) -> list[AsyncSweep]:
        """List sweeps, newest first, without their tables; all with ``limit=None``."""
        found = await self._run(list_all(self._context, endpoints.LIST_SWEEPS, limit))
        return [AsyncSweep.of(self, sweep) for sweep in found]

    async def get_sweep(self, sweep_id: str) -> AsyncSweep:
        """Read a sweep with its table."""
        return AsyncSweep.of(self, await self._read(endpoints.READ_SWEEP, SweepData, sweep_id))

    async def wait_for_sweep(
        self,
        sweep: SweepData,
        timeout: float | None = None,
        on_progress: Callable[[SweepData], None] | None = None,
    ) -> AsyncSweep:
        """Return a sweep when all its jobs have ended; see `AsyncSweep.wait`."""
        flow = wait_for_sweep(self._context, sweep, timeout, on_progress)
        return AsyncSweep.of(self, await self._run(flow))

    async def cancel_sweep(self, sweep_id: str) -> AsyncSweep:
        """Cancel every job of a sweep that has not ended."""
        return AsyncSweep.of(self, await self._read(endpoints.CANCEL_SWEEP, SweepData, sweep_id))

    async def picture(self, sweep_id: str) -> bytes:
        """Return a sweep's Pareto fronts as SVG."""
        request = make_request(endpoints.READ_PICTURE, sweep_id)
        return (await self._run(exchange(self._context, request))).body

    # Inference

    @overload
    async def infer(
        self,
        model: Servable,
        x: "Mapping[str, NDArray[Any]]",
        *,
        variant: Variant = ...,
        timeout_seconds: float | None = ...,
    ) -> "dict[str, NDArray[Any]]": ...
    @overload
    async def infer(
        self,
        model: Servable,
        x: "NDArray[Any]",
        *,
        variant: Variant = ...,
        timeout_seconds: float | None = ...,
    ) -> "NDArray[Any]": ...
    @overload
    async def infer(
        self,
        model: Servable,
        x: "NDArray[Any] | Mapping[str, NDArray[Any]]",
        *,
        variant: Literal["both"],
        timeout_seconds: float | None = ...,
    ) -> Comparison: ...
    async def infer(
        self,
        model: Servable,
        x: Any,
        *,
        variant: Any = "pruned",
        timeout_seconds: float | None = None,
    ) -> Any:
        """Run a model."""
        from secateur.core.inference import infer  # noqa: PLC0415  # numpy, when it is needed

        return await self._run(infer(self._context, reference(model), x, variant, timeout_seconds))

    async def infer_image(
        self,
        model: Servable,
        image: AnyPath | bytes,
        top_k: int = 5,
        *,
        variant: Variant = "pruned",
    ) -> list[Label]:
        """Return the best classes of an image file (or of its bytes), the best first."""
        return (await self.infer_images(model, [image], top_k, variant=variant))[0]

    async def infer_images(
        self,
        model: Servable,
        images: Sequence[AnyPath | bytes],
        top_k: int = 5,
        *,
        variant: Variant = "pruned",
    ) -> list[list[Label]]:
        """Return the best classes of each image; up to 256 in one request."""
        from secateur.core.inference import infer_images  # noqa: PLC0415  # numpy, likewise

        files = [image if isinstance(image, bytes) else Path(image) for image in images]
        return await self._run(infer_images(self._context, reference(model), files, top_k, variant))

    # The service

    async def quotas(self) -> TenantQuotas:
        """Read what the key's tenant may have, and has."""
        return await self._read(endpoints.READ_QUOTAS, TenantQuotas)

    async def ready(self) -> dict[str, str]:
        """Ask whether the service reaches all that it needs."""
        return await self._read(endpoints.READY, dict[str, str])

    async def _job(self, endpoint: Endpoint, job_id: str) -> AsyncJob:
        return AsyncJob.of(self, await self._read(endpoint, JobData, job_id))

    async def _read(self, endpoint: Endpoint, _answer_type: type[T], *ids: str) -> T:
        found: T = await self._run(call(self._context, make_request(endpoint, *ids)))
        return found

    async def _run(self, flow: Flow[T]) -> T:
        return await self._transport.run(flow)
