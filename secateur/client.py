"""The synchronous client.

`secateur.async_client` is generated from this file: run `make async` after a change.
"""

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
from secateur.core.downloads import FileProgress, download_all, download_onnx
from secateur.core.endpoints import Endpoint
from secateur.core.events import follow
from secateur.core.jobs import create_job, plan_job, wait_for_job
from secateur.core.lists import list_all
from secateur.core.requests import (
    ByteProgress,
    make_json_request,
    make_request,
    new_idempotency_key,
)
from secateur.core.steps import Flow
from secateur.core.sweeps import create_sweep, wait_for_sweep
from secateur.core.targets import job_body, reference
from secateur.core.transport import Transport
from secateur.core.uploads import dataset_query, push_dataset, push_latencies, push_model
from secateur.jobs import Job, Sweep
from secateur.local import Target, find_target
from secateur.options import (
    AnyPath,
    Config,
    DataLike,
    Goal,
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
    DeviceLatencies,
    Event,
    Goals,
    GoalView,
    JobComparison,
    JobData,
    Label,
    Model,
    NewShare,
    Plan,
    Share,
    SweepData,
    TenantQuotas,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


T = TypeVar("T")


class Client:
    """A connection to one Secateur service.

    ``with Client() as client`` closes the connections at the end.
    Threads may share one client.

    Args:
        url: The service's URL. Default: ``SECATEUR_URL``; else the service that `secateur serve`
            runs in this folder or in one above it; else ``http://127.0.0.1:8000``.
        api_key: Default: ``SECATEUR_KEY``; else the key of the service that `secateur serve` runs.
        timeout: The longest pause in a response, in seconds.
        retries: How many times to retry a request that got no response, or 429 or 503. The delay
            doubles each time; a longer ``Retry-After`` is respected up to a minute.
        verify: An SSL context with the certificate authorities to trust; False turns the check off.
        transport: An httpx transport, such as a proxy; httpx's default if None.

    Raises:
        ConfigurationError: The URL or the key is not valid.
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
        """The service's URL, without a trailing slash."""
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
        """Upload a model, wait until the service has checked it, and return it.

        Args:
            path: A ``.pt2`` or ``.onnx`` file, or a ``.safetensors`` file with ``architecture``; or
                its URL, which the service fetches: ``https://…``, ``s3://…`` or ``gs://…``.
            on_progress: Called with the bytes sent so far and the size of the file.
            timeout: How long to wait for the check after the upload, in seconds.
            options: See `ModelOptions`.

        Raises:
            UnsupportedFileError: The file is not a model; nothing was sent.
            ModelRejectedError: The service refused the model; the message says why.
            WaitTimeoutError: The check took longer than ``timeout``; it continues.
            OSError: The file cannot be read.
        """
        return self._run(push_model(self._context, path, options, on_progress, timeout))

    def push_dataset(
        self,
        path: AnyPath,
        *,
        name: str | None = None,
        preprocess: Preprocess | None = None,
        on_progress: ByteProgress | None = None,
        timeout: float | None = None,
    ) -> Dataset:
        """Upload a data set, wait until the service has checked it, and return it.

        Args:
            path: A ``.npz`` file, a ``.zip`` or ``.tar`` of images, a ``.parquet`` file, or a
                folder of images, which is packed; or a URL, as for `push`.
            name: The data set's name; the file's name if None.
            preprocess: How the network's training turned pixels into inputs: ``"imagenet"``,
                ``"unit"``, ``"symmetric"``, ``"from-data"``, or numbers such as ``{"mean": [0.5],
                "std": [0.5]}``.
            on_progress: Called with the bytes sent so far and the size of the file.
            timeout: How long to wait for the check after the upload, in seconds.

        Raises:
            UnsupportedFileError: The file is not a data set; nothing was sent.
            DatasetRejectedError: The service refused the data set; the message says why.
            WaitTimeoutError: The check took longer than ``timeout``; it continues.
            OSError: The file cannot be read.
        """
        query = dataset_query(name, preprocess)
        return self._run(push_dataset(self._context, path, query, on_progress, timeout))

    def models(
        self, limit: int | None = 100, *, search: str | None = None, tags: Sequence[str] = ()
    ) -> list[Model]:
        """List models, newest first.

        Args:
            limit: Maximum number; None: all.
            search: Text in a name or a tag.
            tags: Only models with all these tags.
        """
        wanted = {"search": search, "tag": list(tags)}
        return self._run(list_all(self._context, endpoints.LIST_MODELS, limit, **wanted))

    def datasets(
        self, limit: int | None = 100, *, search: str | None = None, tags: Sequence[str] = ()
    ) -> list[Dataset]:
        """List data sets, newest first.

        Args:
            limit: Maximum number; None: all.
            search: Text in a name or a tag.
            tags: Only data sets with all these tags.
        """
        wanted = {"search": search, "tag": list(tags)}
        return self._run(list_all(self._context, endpoints.LIST_DATASETS, limit, **wanted))

    def get_model(self, model_id: str) -> Model:
        """Return a model."""
        return self._read(endpoints.READ_MODEL, Model, model_id)

    def get_dataset(self, dataset_id: str) -> Dataset:
        """Return a data set."""
        return self._read(endpoints.READ_DATASET, Dataset, dataset_id)

    def report(self, model: Model | str) -> dict[str, Any]:
        """Return a model's report: its operators, its channel groups, what is frozen and why."""
        return self._read(endpoints.READ_REPORT, dict[str, Any], reference(model))

    def rename_model(self, model: Model | str, name: str) -> Model:
        """Rename a model; it becomes the next version of the new name."""
        request = make_json_request(endpoints.RENAME_MODEL, {"name": name}, ids=(reference(model),))
        found: Model = self._run(call(self._context, request))
        return found

    def rename_dataset(self, dataset: Dataset | str, name: str) -> Dataset:
        """Rename a data set."""
        dataset_id = dataset.id if isinstance(dataset, Dataset) else dataset
        request = make_json_request(endpoints.RENAME_DATASET, {"name": name}, ids=(dataset_id,))
        found: Dataset = self._run(call(self._context, request))
        return found

    def tag_model(self, model: Model | str, tags: Sequence[str]) -> Model:
        """Replace the tags of a model."""
        change = {"tags": list(tags)}
        request = make_json_request(endpoints.RENAME_MODEL, change, ids=(reference(model),))
        found: Model = self._run(call(self._context, request))
        return found

    def tag_dataset(self, dataset: Dataset | str, tags: Sequence[str]) -> Dataset:
        """Replace the tags of a data set."""
        dataset_id = dataset.id if isinstance(dataset, Dataset) else dataset
        change = {"tags": list(tags)}
        request = make_json_request(endpoints.RENAME_DATASET, change, ids=(dataset_id,))
        found: Dataset = self._run(call(self._context, request))
        return found

    def restore_model(self, model: Model | str) -> Model:
        """Undo the deletion of a model, for a day by default."""
        return self._read(endpoints.RESTORE_MODEL, Model, reference(model))

    def restore_dataset(self, dataset: Dataset | str) -> Dataset:
        """Undo the deletion of a data set, for a day by default."""
        dataset_id = dataset.id if isinstance(dataset, Dataset) else dataset
        return self._read(endpoints.RESTORE_DATASET, Dataset, dataset_id)

    def delete_model(self, model: Model | str, *, permanent: bool = False) -> None:
        """Delete a model that no unfinished job uses; ``permanent``: it cannot be restored."""
        self._delete(endpoints.DELETE_MODEL, reference(model), is_permanent=permanent)

    def delete_dataset(self, dataset: Dataset | str, *, permanent: bool = False) -> None:
        """Delete a data set that no unfinished job uses; ``permanent``: it cannot be restored."""
        dataset_id = dataset.id if isinstance(dataset, Dataset) else dataset
        self._delete(endpoints.DELETE_DATASET, dataset_id, is_permanent=permanent)

    # Latencies of devices

    def bench(self, model: Model | str) -> dict[str, Any]:
        """Return the layers of a model for a device to measure, as `secateur_bench.py` reads them.

        Write it as JSON to a file, and give that to the script on the device.
        """
        return self._read(endpoints.READ_BENCH, dict[str, Any], reference(model))

    def download_onnx(self, model: Model | str, path: AnyPath) -> Path:
        """Download the ONNX file of a model to ``path``, and return that.

        Raises:
            DownloadError: The file did not arrive whole.
        """
        return self._run(download_onnx(self._context, reference(model), Path(path)))

    def push_latencies(self, path: AnyPath, *, name: str | None = None) -> DeviceLatencies:
        """Upload latencies that a device measured: the target of a job's ``selection.target``.

        Args:
            path: The CSV file that `secateur_bench.py` wrote.
            name: A name for the device; the file's name if None.

        Raises:
            InvalidRequestError: The file is not right; the message names the row.
        """
        return self._run(push_latencies(self._context, Path(path), name))

    def latencies(
        self, limit: int | None = 100, *, search: str | None = None
    ) -> list[DeviceLatencies]:
        """List uploaded latencies, newest first; ``limit=None`` lists all."""
        return self._run(list_all(self._context, endpoints.LIST_LATENCIES, limit, search=search))

    def get_latencies(self, latencies_id: str) -> DeviceLatencies:
        """Return uploaded latencies, by id or name."""
        return self._read(endpoints.READ_LATENCIES, DeviceLatencies, latencies_id)

    def delete_latencies(
        self, latencies: DeviceLatencies | str, *, permanent: bool = False
    ) -> None:
        """Delete latencies that no unfinished job uses; ``permanent``: for good."""
        latencies_id = latencies if isinstance(latencies, str) else latencies.id
        self._delete(endpoints.DELETE_LATENCIES, latencies_id, is_permanent=permanent)

    def restore_latencies(self, latencies: DeviceLatencies | str) -> DeviceLatencies:
        """Undo the deletion of latencies, for a day by default."""
        latencies_id = latencies if isinstance(latencies, str) else latencies.id
        return self._read(endpoints.RESTORE_LATENCIES, DeviceLatencies, latencies_id)

    # Jobs

    def prune(
        self,
        model: ModelLike,
        data: DataLike | None = None,
        config: Config | None = None,
        *,
        goal: Goal | None = None,
        preprocess: Preprocess | None = None,
        on_progress: ByteProgress | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Start a pruning job and return it; `Job.wait` waits for its result.

        Args:
            model: A model, its id or name, or a file to upload.
            data: A data set, its id or name, or a file to upload. Without data the pruned network
                is not retrained.
            config: How to prune. Every key is optional.
            goal: What to aim at, in place of a config; see `goals`.
            preprocess: The preprocessing of an uploaded data file; see `push_dataset`.
            on_progress: Called during uploads with the bytes sent so far and the size of the file.
            options: See `JobOptions`.

        Raises:
            InvalidRequestError: The config is not valid; `errors` points at what is wrong.
            ModelRejectedError, DatasetRejectedError: The service refused an uploaded file.
        """
        members = {"config": dict(config or {}), "goal": goal, **options}
        body = self._run(job_body(self._context, model, data, members, preprocess, on_progress))
        return Job.of(self, self._run(create_job(self._context, body)))

    def plan(
        self,
        model: ModelLike,
        data: DataLike | None = None,
        config: Config | None = None,
        *,
        goal: Goal | None = None,
        timeout: float = 60.0,
    ) -> Plan:
        """Return what a job would keep, without pruning anything or storing a job.

        Args:
            model: As for `prune`.
            data: As for `prune`.
            config: As for `prune`.
            goal: As for `prune`.
            timeout: How long the service may take, in seconds; at most 600.

        Raises:
            ServiceUnavailableError: The plan was not ready in time.
        """
        members = {"config": dict(config or {}), "goal": goal}
        body = self._run(job_body(self._context, model, data, members, None, None))
        return self._run(plan_job(self._context, body, timeout))

    def try_example(self) -> Job:
        """Start a job on the service's own small network and images, and return it."""
        request = make_request(endpoints.TRY_EXAMPLE, headers=new_idempotency_key())
        return Job.of(self, self._run(call(self._context, request)))

    def goals(self, model: Model | str | None = None, data: str | None = None) -> list[GoalView]:
        """List what a job can aim at: config, number of trainings, and the expected time.

        Args:
            model: A model, its id or name; without one no times are estimated.
            data: A data set's id or name.
        """
        query = {"model": None if model is None else reference(model), "dataset": data}
        request = make_request(endpoints.LIST_GOALS, query=query)
        found: Goals = self._run(call(self._context, request))
        return found.data

    def jobs(
        self,
        limit: int | None = 100,
        *,
        search: str | None = None,
        tags: Sequence[str] = (),
        statuses: Sequence[str] = (),
    ) -> list[Job]:
        """List jobs, newest first.

        Args:
            limit: Maximum number; None: all.
            search: Text in a job's name, in a tag or in its model's name; or a job's id.
            tags: Only jobs with all these tags.
            statuses: Only jobs with one of these statuses.
        """
        wanted = {"search": search, "tag": list(tags), "status": list(statuses)}
        found = self._run(list_all(self._context, endpoints.LIST_JOBS, limit, **wanted))
        return [Job.of(self, job) for job in found]

    def get_job(self, job_id: str) -> Job:
        """Return a job."""
        return self._job(endpoints.READ_JOB, job_id)

    def wait(
        self,
        job: JobData | str,
        timeout: float | None = None,
        on_progress: Callable[[JobData], None] | None = None,
    ) -> Job:
        """Wait until a job has succeeded and return it; see `Job.wait`."""
        known = self.get_job(job) if isinstance(job, str) else job
        return Job.of(self, self._run(wait_for_job(self._context, known, timeout, on_progress)))

    def events(self, job_id: str, after: int = 0) -> Iterator[Event]:
        """Yield a job's events whose number is above ``after``, until the job has ended."""
        return self._transport.iterate(follow(self._context, job_id, after))

    def pause(self, job_id: str) -> Job:
        """Save a job's state and free its worker."""
        return self._job(endpoints.PAUSE_JOB, job_id)

    def resume(self, job_id: str) -> Job:
        """Continue a paused job from its saved state."""
        return self._job(endpoints.RESUME_JOB, job_id)

    def retry(self, job_id: str) -> Job:
        """Queue a failed job again, with all its attempts."""
        return self._job(endpoints.RETRY_JOB, job_id)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job."""
        return self._job(endpoints.CANCEL_JOB, job_id)

    def change_job(
        self, job_id: str, *, name: str | None = None, tags: Sequence[str] | None = None
    ) -> Job:
        """Name or tag a job; an empty name removes the name, and None changes nothing."""
        changes: dict[str, Any] = {}
        if name is not None:
            changes["name"] = name or None
        if tags is not None:
            changes["tags"] = list(tags)
        request = make_json_request(
            endpoints.CHANGE_JOB, changes, ids=(job_id,), are_nulls_sent=True
        )
        return Job.of(self, self._run(call(self._context, request)))

    def delete_job(self, job_id: str, *, permanent: bool = False) -> None:
        """Delete an ended job; its model stays. ``permanent``: it cannot be restored."""
        self._delete(endpoints.DELETE_JOB, job_id, is_permanent=permanent)

    def restore_job(self, job_id: str) -> Job:
        """Undo the deletion of a job, for a day by default."""
        return self._job(endpoints.RESTORE_JOB, job_id)

    def compare_jobs(self, jobs: Sequence[JobData | str]) -> JobComparison:
        """Return up to four jobs side by side, and where their configs differ."""
        ids = [job if isinstance(job, str) else job.id for job in jobs]
        request = make_request(endpoints.COMPARE_JOBS, query={"job": ids})
        found: JobComparison = self._run(call(self._context, request))
        return found

    def share_report(self, job_id: str, *, days: float = 7) -> str:
        """Return a link that shows a job's report to anyone, without a key, for some days."""
        body = {"job": job_id, "expires_in_days": days}
        request = make_json_request(endpoints.CREATE_SHARE, body)
        made: NewShare = self._run(call(self._context, request))
        return f"{self.url}{made.url}"

    def shares(self, job_id: str | None = None, limit: int | None = 100) -> list[Share]:
        """List links to reports, newest first, or those of one job."""
        return self._run(list_all(self._context, endpoints.LIST_SHARES, limit, job=job_id))

    def revoke_share(self, share_id: str) -> Share:
        """Make a link to a report useless, at once and for good."""
        return self._read(endpoints.REVOKE_SHARE, Share, share_id)

    def artifacts(self, job_id: str) -> list[Artifact]:
        """List the files that a job produced."""
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
        """Download all files of a job, or the named ones; see `Job.download`."""
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
        train: Literal["auto", "front", "all"] = "auto",
    ) -> Sweep:
        """Start a job for every point of a grid.

        Args:
            model: As for `prune`.
            data: As for `prune`.
            grid: Values by JSON pointer into the config: ``{"/selection/macs": [0.5, 0.25]}``.
            config: The config that all jobs share.
            metadata: Key-value pairs of your own, stored with the sweep.
            train: Points that are trained. ``front``: every point is repaired and measured first,
                and only those that no other point beats are trained. ``all``: every point.
                ``auto``: ``front`` for grids over criterion, selection and repair.

        Raises:
            InvalidRequestError: A point is not a valid config; `errors` points at it.
        """
        members = {
            "grid": {pointer: list(values) for pointer, values in grid.items()},
            "config": dict(config or {}),
            "metadata": dict(metadata or {}),
            "train": train,
        }
        body = self._run(job_body(self._context, model, data, members, None, None))
        return Sweep.of(self, self._run(create_sweep(self._context, body)))

    def sweeps(self, limit: int | None = 100) -> list[Sweep]:
        """List sweeps, newest first, without their tables; ``limit=None`` lists all."""
        found = self._run(list_all(self._context, endpoints.LIST_SWEEPS, limit))
        return [Sweep.of(self, sweep) for sweep in found]

    def get_sweep(self, sweep_id: str) -> Sweep:
        """Return a sweep with its table."""
        return Sweep.of(self, self._read(endpoints.READ_SWEEP, SweepData, sweep_id))

    def wait_for_sweep(
        self,
        sweep: SweepData,
        timeout: float | None = None,
        on_progress: Callable[[SweepData], None] | None = None,
    ) -> Sweep:
        """Wait until all jobs of a sweep have ended and return it; see `Sweep.wait`."""
        flow = wait_for_sweep(self._context, sweep, timeout, on_progress)
        return Sweep.of(self, self._run(flow))

    def cancel_sweep(self, sweep_id: str) -> Sweep:
        """Cancel the unfinished jobs of a sweep."""
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
        variant: Literal["both", "all"],
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
        """Run a model on preprocessed inputs.

        Args:
            model: A model, a finished job, or an id, ``name``, ``name@version`` or ``name@alias``.
            x: An array, which returns an array; or a mapping of input names to arrays, which
                returns a mapping of output names to arrays. The first dimension is the batch.
            variant: ``base`` runs the model that this one was pruned from, ``int8`` its int8 form.
                ``both`` runs model and base, ``all`` the three, and return a `Comparison`.
            timeout_seconds: Deadline of the request; a request past it is dropped, not computed.

        Raises:
            SecateurError: The inputs do not fit the model.
            InvalidRequestError: The service refused the inputs.
        """
        from secateur.core.inference import infer  # noqa: PLC0415  # imports numpy

        return self._run(infer(self._context, reference(model), x, variant, timeout_seconds))

    def infer_image(
        self,
        model: Servable,
        image: AnyPath | bytes,
        top_k: int = 5,
        *,
        variant: Variant = "pruned",
    ) -> list[Label]:
        """Return the ``top_k`` most likely classes of an image file (or its bytes), best first."""
        return self.infer_images(model, [image], top_k, variant=variant)[0]

    def infer_images(
        self,
        model: Servable,
        images: Sequence[AnyPath | bytes],
        top_k: int = 5,
        *,
        variant: Variant = "pruned",
    ) -> list[list[Label]]:
        """Return the ``top_k`` most likely classes of each of up to 256 images.

        Raises:
            SecateurError: The model does not output class scores.
        """
        from secateur.core.inference import infer_images  # noqa: PLC0415  # imports numpy

        files = [image if isinstance(image, bytes) else Path(image) for image in images]
        return self._run(infer_images(self._context, reference(model), files, top_k, variant))

    # The service

    def quotas(self) -> TenantQuotas:
        """Return the tenant's limits and how much of each is used."""
        return self._read(endpoints.READ_QUOTAS, TenantQuotas)

    def config_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of a job's config, with a description of every key."""
        return self._read(endpoints.READ_SCHEMA, dict[str, Any], "config")

    def ready(self) -> dict[str, str]:
        """Return the state of everything the service depends on.

        Raises:
            ServiceUnavailableError: Something is unreachable; the message names it.
        """
        return self._read(endpoints.READY, dict[str, str])

    def _delete(self, endpoint: Endpoint, object_id: str, *, is_permanent: bool) -> None:
        query = {"permanent": "true"} if is_permanent else {}
        self._run(exchange(self._context, make_request(endpoint, object_id, query=query)))

    def _job(self, endpoint: Endpoint, job_id: str) -> Job:
        return Job.of(self, self._read(endpoint, JobData, job_id))

    def _read(self, endpoint: Endpoint, _answer_type: type[T], *ids: str) -> T:
        found: T = self._run(call(self._context, make_request(endpoint, *ids)))
        return found

    def _run(self, flow: Flow[T]) -> T:
        return self._transport.run(flow)
