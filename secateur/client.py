"""`Client`: the service from code that waits. `secateur.async_client` is the same, awaited."""

import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, overload

import httpx

from secateur.comparison import Comparison
from secateur.core import endpoints
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
from secateur.core.transport import Transport
from secateur.core.uploads import dataset_query, push_dataset, push_model
from secateur.jobs import Job, Sweep
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


class Client:
    """A service, and a key for it.

    ``with Client() as client`` closes the connections in the end. One client may be used by several
    threads.

    Args:
        url: Of the service; else ``SECATEUR_URL``, the service that `secateur serve` runs in this
            folder or one above, or ``http://127.0.0.1:8000``.
        api_key: Else ``SECATEUR_KEY``, or what `secateur serve` has left for its owner.
        timeout: Seconds of the longest pause in an answer.
        retries: How often a request is tried again that is lost on the way, or answered with 429
            or 503; after what the service asks for, or twice as long each time.
        verify: A context with authorities to trust besides the system's; False trusts anybody.
        transport: What connects, such as a proxy; httpx's own unless given.

    Raises:
        ConfigurationError: The URL or the key cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: int = 5,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.target: Target = find_target(url, api_key)
        connection = Connection(self.target.url, self.target.api_key, timeout, verify)
        self._transport = Transport(connection, transport)
        self._context = Context(self.target.url, retries)

    @property
    def url(self) -> str:
        """The service's."""
        return self.target.url

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # Models and data sets

    def push(
        self,
        path: AnyPath,
        *,
        on_progress: ByteProgress | None = None,
        timeout: float | None = None,
        **options: Unpack[ModelOptions],
    ) -> Model:
        """Upload a model and return it when the intake has accepted it.

        Args:
            path: A ``.pt2`` file, or a ``.safetensors`` file with the ``architecture`` of it.
            on_progress: Called with the bytes sent and all there are.
            timeout: Seconds to wait for the intake's verdict, after the upload.
            options: See `ModelOptions`.

        Raises:
            ModelRejectedError: The intake refuses it, and says why.
            OSError: The file cannot be read.
        """
        return self._run(push_model(self._context, Path(path), options, on_progress, timeout))

    def push_dataset(
        self,
        path: AnyPath,
        *,
        name: str | None = None,
        preprocess: Preprocess | None = None,
        on_progress: ByteProgress | None = None,
        timeout: float | None = None,
    ) -> Dataset:
        """Upload samples and return the data set when the intake has accepted it.

        Args:
            path: ``.npz``, ``.zip`` or ``.tar`` of images, or ``.parquet``.
            name: The file's own unless given.
            preprocess: How pixels become inputs, as the network was trained: ``"imagenet"``,
                ``"unit"``, ``"symmetric"``, ``"from-data"``, or numbers such as ``{"mean": [0.5],
                "std": [0.5]}``.
            on_progress: Called with the bytes sent and all there are.
            timeout: Seconds to wait for the intake's verdict, after the upload.

        Raises:
            DatasetRejectedError: The intake refuses it, and says why.
            OSError: The file cannot be read.
        """
        query = dataset_query(name, preprocess)
        return self._run(push_dataset(self._context, Path(path), query, on_progress, timeout))

    def models(self, limit: int | None = 100) -> list[Model]:
        """List models, newest first; all with ``limit=None``."""
        return self._run(list_all(self._context, endpoints.LIST_MODELS, limit))

    def datasets(self, limit: int | None = 100) -> list[Dataset]:
        """List data sets, newest first; all with ``limit=None``."""
        return self._run(list_all(self._context, endpoints.LIST_DATASETS, limit))

    def get_model(self, model_id: str) -> Model:
        """Read a model."""
        return self._read(endpoints.READ_MODEL, Model, model_id)

    def get_dataset(self, dataset_id: str) -> Dataset:
        """Read a data set."""
        return self._read(endpoints.READ_DATASET, Dataset, dataset_id)

    def report(self, model: Model | str) -> dict[str, Any]:
        """Read the intake's verdict: operators, channel groups, what is frozen and why."""
        return self._read(endpoints.READ_REPORT, dict[str, Any], reference(model))

    def delete_model(self, model: Model | str) -> None:
        """Delete a model that no live job uses."""
        self._run(exchange(self._context, make_request(endpoints.DELETE_MODEL, reference(model))))

    def delete_dataset(self, dataset: Dataset | str) -> None:
        """Delete a data set that no live job uses."""
        dataset_id = dataset.id if isinstance(dataset, Dataset) else dataset
        self._run(exchange(self._context, make_request(endpoints.DELETE_DATASET, dataset_id)))

    # Jobs

    def prune(
        self,
        model: ModelLike,
        data: DataLike | None = None,
        config: Config | None = None,
        *,
        preprocess: Preprocess | None = None,
        on_progress: ByteProgress | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Post a job and return it; `Job.wait` waits for its result.

        Args:
            model: A model, its id, or a file to upload.
            data: Samples, likewise; without any the pruned network is not retrained.
            config: How to prune; an empty config is a good config.
            preprocess: Of a data file that is uploaded.
            on_progress: Of uploads: called with the bytes sent and all there are.
            options: See `JobOptions`.

        Raises:
            InvalidRequestError: The config is not accepted; `errors` points at what is wrong.
            ModelRejectedError, DatasetRejectedError: The intake refuses a file.
        """
        members = {"config": dict(config or {}), **options}
        body = self._run(job_body(self._context, model, data, members, preprocess, on_progress))
        return Job.of(self, self._run(create_job(self._context, body)))

    def plan(
        self,
        model: ModelLike,
        data: DataLike | None = None,
        config: Config | None = None,
        *,
        timeout: float = 60.0,
    ) -> Plan:
        """Return what a job would leave; nothing is pruned, and no job is stored.

        Args:
            model: As for `prune`.
            data: Likewise.
            config: Likewise.
            timeout: Seconds that the service may take, up to 600.

        Raises:
            ServiceUnavailableError: It is not ready in time.
        """
        members = {"config": dict(config or {})}
        body = self._run(job_body(self._context, model, data, members, None, None))
        return self._run(plan_job(self._context, body, timeout))

    def jobs(self, limit: int | None = 100) -> list[Job]:
        """List jobs, newest first; all with ``limit=None``."""
        found = self._run(list_all(self._context, endpoints.LIST_JOBS, limit))
        return [Job.of(self, job) for job in found]

    def get_job(self, job_id: str) -> Job:
        """Read a job."""
        return self._job(endpoints.READ_JOB, job_id)

    def wait(
        self,
        job: JobData | str,
        timeout: float | None = None,
        on_progress: Callable[[JobData], None] | None = None,
    ) -> Job:
        """Return a job when it has succeeded; see `Job.wait`."""
        known = self.get_job(job) if isinstance(job, str) else job
        return Job.of(self, self._run(wait_for_job(self._context, known, timeout, on_progress)))

    def events(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Yield the events of a job with a number above ``after``, until it has ended."""
        yield from self._transport.iterate(follow(self._context, job_id, after))

    def pause(self, job_id: str) -> Job:
        """Save a job's state and let its worker go."""
        return self._job(endpoints.PAUSE_JOB, job_id)

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on where it was saved."""
        return self._job(endpoints.RESUME_JOB, job_id)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job that has not ended."""
        return self._job(endpoints.CANCEL_JOB, job_id)

    def artifacts(self, job_id: str) -> list[Artifact]:
        """List the files that a job made."""
        return self._read(endpoints.LIST_ARTIFACTS, list[Artifact], job_id)

    def download(
        self,
        job_id: str,
        folder: AnyPath,
        names: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
        on_progress: FileProgress | None = None,
    ) -> list[Path]:
        """Download a job's files, or those named; see `Job.download`."""
        flow = download_all(
            self._context, job_id, Path(folder), names, on_progress, is_overwriting=overwrite
        )
        return self._run(flow)

    # Sweeps

    def sweep(
        self,
        model: ModelLike,
        data: DataLike | None = None,
        *,
        grid: Mapping[str, Sequence[Any]],
        config: Config | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Sweep:
        """Post a job for every point of a grid.

        Args:
            model: As for `prune`.
            data: Likewise.
            grid: Values by JSON pointer into the config: ``{"/selection/macs": [0.5, 0.25]}``.
            config: What all jobs share.
            metadata: Of the user's own.

        Raises:
            InvalidRequestError: A point makes no job; `errors` points at it.
        """
        members = {
            "grid": {pointer: list(values) for pointer, values in grid.items()},
            "config": dict(config or {}),
            "metadata": dict(metadata or {}),
        }
        body = self._run(job_body(self._context, model, data, members, None, None))
        return Sweep.of(self, self._run(create_sweep(self._context, body)))

    def sweeps(self, limit: int | None = 100) -> list[Sweep]:
        """List sweeps, newest first, without their tables; all with ``limit=None``."""
        found = self._run(list_all(self._context, endpoints.LIST_SWEEPS, limit))
        return [Sweep.of(self, sweep) for sweep in found]

    def get_sweep(self, sweep_id: str) -> Sweep:
        """Read a sweep with its table."""
        return Sweep.of(self, self._read(endpoints.READ_SWEEP, SweepData, sweep_id))

    def wait_for_sweep(
        self,
        sweep: SweepData,
        timeout: float | None = None,
        on_progress: Callable[[SweepData], None] | None = None,
    ) -> Sweep:
        """Return a sweep when all its jobs have ended; see `Sweep.wait`."""
        flow = wait_for_sweep(self._context, sweep, timeout, on_progress)
        return Sweep.of(self, self._run(flow))

    def cancel_sweep(self, sweep_id: str) -> Sweep:
        """Cancel every job of a sweep that has not ended."""
        return Sweep.of(self, self._read(endpoints.CANCEL_SWEEP, SweepData, sweep_id))

    def picture(self, sweep_id: str) -> bytes:
        """Return a sweep's Pareto fronts as SVG."""
        request = make_request(endpoints.READ_PICTURE, sweep_id)
        return self._run(exchange(self._context, request)).body

    # Inference

    @overload
    def infer(
        self,
        model: Servable,
        x: "Mapping[str, NDArray[Any]]",
        *,
        variant: Variant = ...,
        timeout_seconds: float | None = ...,
    ) -> "dict[str, NDArray[Any]]": ...
    @overload
    def infer(
        self,
        model: Servable,
        x: "NDArray[Any]",
        *,
        variant: Variant = ...,
        timeout_seconds: float | None = ...,
    ) -> "NDArray[Any]": ...
    @overload
    def infer(
        self,
        model: Servable,
        x: "NDArray[Any] | Mapping[str, NDArray[Any]]",
        *,
        variant: Literal["both"],
        timeout_seconds: float | None = ...,
    ) -> Comparison: ...
    def infer(
        self,
        model: Servable,
        x: Any,
        *,
        variant: Any = "pruned",
        timeout_seconds: float | None = None,
    ) -> Any:
        """Run a model.

        Args:
            model: A model, a finished job, or an id, ``name``, ``name@version`` or ``name@alias``.
            x: Preprocessed inputs, the first dimension is the batch: an array, which gives an
                array, or arrays by input name, which give arrays by output name.
            variant: ``base`` runs the model that it was pruned from; ``both`` gives a
                `Comparison` of the two.
            timeout_seconds: After which the request is not computed any more.

        Raises:
            SecateurError: What is passed does not go with the model.
            InvalidRequestError: Likewise, by the service.
        """
        from secateur.core.inference import infer  # noqa: PLC0415  # numpy, when it is needed

        return self._run(infer(self._context, reference(model), x, variant, timeout_seconds))

    def infer_image(
        self,
        model: Servable,
        image: AnyPath | bytes,
        top_k: int = 5,
        *,
        variant: Variant = "pruned",
    ) -> list[Label]:
        """Return the best classes of an image file (or of its bytes), the best first."""
        return self.infer_images(model, [image], top_k, variant=variant)[0]

    def infer_images(
        self,
        model: Servable,
        images: Sequence[AnyPath | bytes],
        top_k: int = 5,
        *,
        variant: Variant = "pruned",
    ) -> list[list[Label]]:
        """Return the best classes of each image; up to 256 in one request.

        Raises:
            SecateurError: The model gives no scores of classes.
        """
        from secateur.core.inference import infer_images  # noqa: PLC0415  # numpy, likewise

        files = [image if isinstance(image, bytes) else Path(image) for image in images]
        return self._run(infer_images(self._context, reference(model), files, top_k, variant))

    # The service

    def quotas(self) -> TenantQuotas:
        """Read what the key's tenant may have, and has."""
        return self._read(endpoints.READ_QUOTAS, TenantQuotas)

    def ready(self) -> dict[str, str]:
        """Ask whether the service reaches all that it needs.

        Raises:
            ServiceUnavailableError: It does not; the message says what is away.
        """
        return self._read(endpoints.READY, dict[str, str])

    def _job(self, endpoint: Endpoint, job_id: str) -> Job:
        return Job.of(self, self._read(endpoint, JobData, job_id))

    def _read(self, endpoint: Endpoint, _answer_type: type[T], *ids: str) -> T:
        found: T = self._run(call(self._context, make_request(endpoint, *ids)))
        return found

    def _run(self, flow: Flow[T]) -> T:
        return self._transport.run(flow)
