# Generated from secateur/jobs.py by `make async`; do not edit.
"""`AsyncJob` and `AsyncSweep`: what the service knows of them, and methods to act on them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from pydantic import PrivateAttr

from secateur.comparison import Comparison
from secateur.core.downloads import FileProgress
from secateur.core.targets import result_of
from secateur.display import job_rows
from secateur.options import AnyPath, Variant
from secateur.types import Artifact, Event, JobData, Label, Summary, SweepData
from secateur.types.tables import as_html

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from secateur.async_client import AsyncClient


class AsyncJob(JobData):
    """A snapshot of a job. Methods that change or refresh the job return a new snapshot."""

    _client: "AsyncClient" = PrivateAttr()

    @classmethod
    def of(cls, client: "AsyncClient", data: JobData) -> "AsyncJob":
        """Return a job bound to the client that its methods use."""
        job = cls.model_construct(**data.__dict__, **(data.model_extra or {}))
        job._client = client  # noqa: SLF001  # our own class
        return job

    async def refresh(self) -> "AsyncJob":
        """Return a new snapshot of the job."""
        return await self._client.get_job(self.id)

    async def wait(
        self,
        timeout: float | None = None,
        on_progress: Callable[[JobData], None] | None = None,
    ) -> "AsyncJob":
        """Wait until the job has succeeded and return it.

        Args:
            timeout: How long to wait, in seconds. The job continues after a timeout.
            on_progress: Called with the job about once a second.

        Raises:
            JobFailedError, JobCancelledError, JobExpiredError: The job ended without a result.
            WaitTimeoutError: The job has not ended in time.
        """
        return await self._client.wait(self, timeout, on_progress)

    def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Yield the job's events until it has ended; a broken stream is reopened where it broke."""
        return self._client.events(self.id, after)

    async def pause(self) -> "AsyncJob":
        """Save the job's state and free its worker."""
        return await self._client.pause(self.id)

    async def resume(self) -> "AsyncJob":
        """Continue the paused job from its saved state."""
        return await self._client.resume(self.id)

    async def retry(self) -> "AsyncJob":
        """Queue the failed job again, with all its attempts."""
        return await self._client.retry(self.id)

    async def cancel(self) -> "AsyncJob":
        """Cancel the job."""
        return await self._client.cancel(self.id)

    async def artifacts(self) -> list[Artifact]:
        """List the files that the job produced."""
        return await self._client.artifacts(self.id)

    async def download(
        self,
        folder: AnyPath,
        names: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
        on_progress: FileProgress | None = None,
    ) -> list[Path]:
        """Download all files of the job, or the named ones, and return their paths.

        Args:
            folder: Where to store the files.
            names: Names of files, such as ``model.onnx``; all files if None.
            overwrite: Replace existing files that have other contents.
            on_progress: Called with a file's name, the bytes received and the size of the file.

        Raises:
            DownloadError: The job has no file of that name, a different file exists in ``folder``,
                or the bytes received do not have the expected SHA-256.
        """
        return await self._client.download(
            self.id, folder, names, overwrite=overwrite, on_progress=on_progress
        )

    @overload
    async def infer(
        self,
        x: "Mapping[str, NDArray[Any]]",
        *,
        variant: Variant = ...,
        timeout_seconds: float | None = ...,
    ) -> "dict[str, NDArray[Any]]": ...
    @overload
    async def infer(
        self,
        x: "NDArray[Any]",
        *,
        variant: Variant = ...,
        timeout_seconds: float | None = ...,
    ) -> "NDArray[Any]": ...
    @overload
    async def infer(
        self,
        x: "NDArray[Any] | Mapping[str, NDArray[Any]]",
        *,
        variant: Literal["both", "all"],
        timeout_seconds: float | None = ...,
    ) -> Comparison: ...
    async def infer(
        self, x: Any, *, variant: Any = "pruned", timeout_seconds: float | None = None
    ) -> Any:
        """Run the pruned network; see `AsyncClient.infer`.

        Raises:
            SecateurError: The job has no result.
        """
        model = result_of(self).model
        return await self._client.infer(model, x, variant=variant, timeout_seconds=timeout_seconds)

    async def infer_image(self, image: AnyPath | bytes, top_k: int = 5) -> list[Label]:
        """Return the ``top_k`` most likely classes of an image file (or its bytes), best first.

        Raises:
            SecateurError: The job has no result, or its network does not output class scores.
        """
        return await self._client.infer_image(result_of(self).model, image, top_k)

    @property
    def summary(self) -> Summary:
        """The main results: networks, metrics, speed and verdict.

        Raises:
            SecateurError: The job has no result.
        """
        return result_of(self).summary

    def _repr_html_(self) -> str:
        """Return the job as a table, for notebooks."""
        return as_html(job_rows(self))

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("status", self.status), ("stage", self.stage)]


class AsyncSweep(SweepData):
    """A snapshot of a sweep. Methods that change or refresh the sweep return a new snapshot."""

    _client: "AsyncClient" = PrivateAttr()

    @classmethod
    def of(cls, client: "AsyncClient", data: SweepData) -> "AsyncSweep":
        """Return a sweep bound to the client that its methods use."""
        sweep = cls.model_construct(**data.__dict__, **(data.model_extra or {}))
        sweep._client = client  # noqa: SLF001  # our own class
        return sweep

    async def refresh(self) -> "AsyncSweep":
        """Return a new snapshot of the sweep, with its table."""
        return await self._client.get_sweep(self.id)

    async def wait(
        self,
        timeout: float | None = None,
        on_progress: Callable[[SweepData], None] | None = None,
    ) -> "AsyncSweep":
        """Wait until all jobs of the sweep have ended, successfully or not, and return the sweep.

        Args:
            timeout: How long to wait, in seconds. The jobs continue after a timeout.
            on_progress: Called with the sweep after every poll.

        Raises:
            WaitTimeoutError: Some jobs have not ended in time.
        """
        return await self._client.wait_for_sweep(self, timeout, on_progress)

    async def cancel(self) -> "AsyncSweep":
        """Cancel the sweep's unfinished jobs."""
        return await self._client.cancel_sweep(self.id)

    async def picture(self) -> bytes:
        """Return the Pareto fronts as SVG.

        Raises:
            ConflictError: No job has a result yet.
        """
        return await self._client.picture(self.id)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("status", self.status), ("counts", self.counts)]
