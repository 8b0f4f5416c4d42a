"""`Job` and `Sweep`: what the service knows of them, and methods to act on them.

`secateur.async_jobs` is generated from this file: run `make async` after a change.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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

    from secateur.client import Client


class Job(JobData):
    """A snapshot of a job. Methods that change or refresh the job return a new snapshot."""

    _client: "Client" = PrivateAttr()

    @classmethod
    def of(cls, client: "Client", data: JobData) -> "Job":
        """Return a job bound to the client that its methods use."""
        job = cls.model_construct(**data.__dict__, **(data.model_extra or {}))
        job._client = client  # noqa: SLF001  # our own class
        return job

    def refresh(self) -> "Job":
        """Return a new snapshot of the job."""
        return self._client.get_job(self.id)

    def wait(
        self,
        timeout: float | None = None,
        on_progress: Callable[[JobData], None] | None = None,
    ) -> "Job":
        """Wait until the job has succeeded and return it.

        Args:
            timeout: How long to wait, in seconds. The job continues after a timeout.
            on_progress: Called with the job about once a second.

        Raises:
            JobFailedError, JobCancelledError, JobExpiredError: The job ended without a result.
            WaitTimeoutError: The job has not ended in time.
        """
        return self._client.wait(self, timeout, on_progress)

    def events(self, after: int = 0) -> Iterator[Event]:
        """Yield the job's events until it has ended; a broken stream is reopened where it broke."""
        return self._client.events(self.id, after)

    def pause(self) -> "Job":
        """Save the job's state and free its worker."""
        return self._client.pause(self.id)

    def resume(self) -> "Job":
        """Continue the paused job from its saved state."""
        return self._client.resume(self.id)

    def retry(self) -> "Job":
        """Queue the failed job again, with all its attempts."""
        return self._client.retry(self.id)

    def cancel(self) -> "Job":
        """Cancel the job."""
        return self._client.cancel(self.id)

    def artifacts(self) -> list[Artifact]:
        """List the files that the job produced."""
        return self._client.artifacts(self.id)

    def download(
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
        return self._client.download(
            self.id, folder, names, overwrite=overwrite, on_progress=on_progress
        )

    @overload
    def infer(
        self,
        x: "Mapping[str, NDArray[Any]]",
        *,
        variant: Variant = ...,
        timeout_seconds: float | None = ...,
    ) -> "dict[str, NDArray[Any]]": ...
    @overload
    def infer(
        self,
        x: "NDArray[Any]",
        *,
        variant: Variant = ...,
        timeout_seconds: float | None = ...,
    ) -> "NDArray[Any]": ...
    @overload
    def infer(
        self,
        x: "NDArray[Any] | Mapping[str, NDArray[Any]]",
        *,
        variant: Literal["both", "all"],
        timeout_seconds: float | None = ...,
    ) -> Comparison: ...
    def infer(
        self, x: Any, *, variant: Any = "pruned", timeout_seconds: float | None = None
    ) -> Any:
        """Run the pruned network; see `Client.infer`.

        Raises:
            SecateurError: The job has no result.
        """
        model = result_of(self).model
        return self._client.infer(model, x, variant=variant, timeout_seconds=timeout_seconds)

    def infer_image(self, image: AnyPath | bytes, top_k: int = 5) -> list[Label]:
        """Return the ``top_k`` most likely classes of an image file (or its bytes), best first.

        Raises:
            SecateurError: The job has no result, or its network does not output class scores.
        """
        return self._client.infer_image(result_of(self).model, image, top_k)

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


class Sweep(SweepData):
    """A snapshot of a sweep. Methods that change or refresh the sweep return a new snapshot."""

    _client: "Client" = PrivateAttr()

    @classmethod
    def of(cls, client: "Client", data: SweepData) -> "Sweep":
        """Return a sweep bound to the client that its methods use."""
        sweep = cls.model_construct(**data.__dict__, **(data.model_extra or {}))
        sweep._client = client  # noqa: SLF001  # our own class
        return sweep

    def refresh(self) -> "Sweep":
        """Return a new snapshot of the sweep, with its table."""
        return self._client.get_sweep(self.id)

    def wait(
        self,
        timeout: float | None = None,
        on_progress: Callable[[SweepData], None] | None = None,
    ) -> "Sweep":
        """Wait until all jobs of the sweep have ended, successfully or not, and return the sweep.

        Args:
            timeout: How long to wait, in seconds. The jobs continue after a timeout.
            on_progress: Called with the sweep after every poll.

        Raises:
            WaitTimeoutError: Some jobs have not ended in time.
        """
        return self._client.wait_for_sweep(self, timeout, on_progress)

    def cancel(self) -> "Sweep":
        """Cancel the sweep's unfinished jobs."""
        return self._client.cancel_sweep(self.id)

    def picture(self) -> bytes:
        """Return the Pareto fronts as SVG.

        Raises:
            ConflictError: No job has a result yet.
        """
        return self._client.picture(self.id)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("status", self.status), ("counts", self.counts)]
