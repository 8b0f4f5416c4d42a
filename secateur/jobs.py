"""Jobs and sweeps as things that can be waited for, asked and downloaded from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from pydantic import PrivateAttr

from secateur.comparison import Comparison
from secateur.core.downloads import FileProgress
from secateur.core.targets import result_of
from secateur.options import AnyPath, Variant
from secateur.types import Artifact, Event, JobData, Label, SweepData

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from secateur.client import Client


class Job(JobData):
    """A job as it was when it was read; each method reads or changes it, and returns it anew."""

    _client: "Client" = PrivateAttr()

    @classmethod
    def of(cls, client: "Client", data: JobData) -> "Job":
        """Return a job that its client can do something with."""
        job = cls.model_construct(**data.__dict__, **(data.model_extra or {}))
        job._client = client  # noqa: SLF001  # its own
        return job

    def refresh(self) -> "Job":
        """Read the job again."""
        return self._client.get_job(self.id)

    def wait(
        self,
        timeout: float | None = None,
        on_progress: Callable[[JobData], None] | None = None,
    ) -> "Job":
        """Return the job when it has succeeded.

        Args:
            timeout: Seconds, after which it is not waited for any longer; the job goes on.
            on_progress: Called with the job about once a second.

        Raises:
            JobFailedError, JobCancelledError, JobExpiredError: It ended without a result.
            WaitTimeoutError: It has not ended in time.
        """
        return self._client.wait(self, timeout, on_progress)

    def events(self, after: int = 0) -> Iterator[Event]:
        """Yield what happens to the job until it has ended; broken streams are taken up again."""
        return self._client.events(self.id, after)

    def pause(self) -> "Job":
        """Save the job's state and let its worker go."""
        return self._client.pause(self.id)

    def resume(self) -> "Job":
        """Let a paused job go on where it was saved."""
        return self._client.resume(self.id)

    def cancel(self) -> "Job":
        """Cancel the job."""
        return self._client.cancel(self.id)

    def artifacts(self) -> list[Artifact]:
        """List the files that the job made."""
        return self._client.artifacts(self.id)

    def download(
        self,
        folder: AnyPath,
        names: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
        on_progress: FileProgress | None = None,
    ) -> list[Path]:
        """Download the job's files, or those named, and return where they lie.

        Raises:
            DownloadError: A name is not there, a file of that name is, or bytes are not right.
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
        variant: Literal["both"],
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
        """Return the best classes of an image, the best first.

        Raises:
            SecateurError: The job has no result, or its network gives no scores of classes.
        """
        return self._client.infer_image(result_of(self).model, image, top_k)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("status", self.status), ("stage", self.stage)]


class Sweep(SweepData):
    """A sweep as it was when it was read."""

    _client: "Client" = PrivateAttr()

    @classmethod
    def of(cls, client: "Client", data: SweepData) -> "Sweep":
        """Return a sweep that its client can do something with."""
        sweep = cls.model_construct(**data.__dict__, **(data.model_extra or {}))
        sweep._client = client  # noqa: SLF001  # its own
        return sweep

    def refresh(self) -> "Sweep":
        """Read the sweep again, with its table."""
        return self._client.get_sweep(self.id)

    def wait(
        self,
        timeout: float | None = None,
        on_progress: Callable[[SweepData], None] | None = None,
    ) -> "Sweep":
        """Return the sweep when all its jobs have ended, however they did.

        Raises:
            WaitTimeoutError: They have not in time; they go on.
        """
        return self._client.wait_for_sweep(self, timeout, on_progress)

    def cancel(self) -> "Sweep":
        """Cancel every job that has not ended."""
        return self._client.cancel_sweep(self.id)

    def picture(self) -> bytes:
        """Return the Pareto fronts as SVG.

        Raises:
            ConflictError: No job has a result yet.
        """
        return self._client.picture(self.id)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("status", self.status), ("counts", self.counts)]
