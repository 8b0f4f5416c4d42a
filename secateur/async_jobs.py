"""The jobs and sweeps of `AsyncClient`; what the methods do is told in `secateur.jobs`."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
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

    from secateur.async_client import AsyncClient


class AsyncJob(JobData):
    """A job as it was when it was read; each method reads or changes it, and returns it anew."""

    _client: "AsyncClient" = PrivateAttr()

    @classmethod
    def of(cls, client: "AsyncClient", data: JobData) -> "AsyncJob":
        """Return a job that its client can do something with."""
        job = cls.model_construct(**data.__dict__, **(data.model_extra or {}))
        job._client = client  # noqa: SLF001  # its own
        return job

    async def refresh(self) -> "AsyncJob":
        """Read the job again."""
        return await self._client.get_job(self.id)

    async def wait(
        self,
        timeout: float | None = None,
        on_progress: Callable[[JobData], None] | None = None,
    ) -> "AsyncJob":
        """Return the job when it has succeeded."""
        return await self._client.wait(self, timeout, on_progress)

    def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Yield what happens to the job until it has ended; broken streams are taken up again."""
        return self._client.events(self.id, after)

    async def pause(self) -> "AsyncJob":
        """Save the job's state and let its worker go."""
        return await self._client.pause(self.id)

    async def resume(self) -> "AsyncJob":
        """Let a paused job go on where it was saved."""
        return await self._client.resume(self.id)

    async def cancel(self) -> "AsyncJob":
        """Cancel the job."""
        return await self._client.cancel(self.id)

    async def artifacts(self) -> list[Artifact]:
        """List the files that the job made."""
        return await self._client.artifacts(self.id)

    async def download(
        self,
        folder: AnyPath,
        names: Sequence[str] | None = None,
        *,
        overwrite: bool = False,
        on_progress: FileProgress | None = None,
    ) -> list[Path]:
        """Download the job's files, or those named, and return where they lie."""
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
        variant: Literal["both"],
        timeout_seconds: float | None = ...,
    ) -> Comparison: ...
    async def infer(
        self, x: Any, *, variant: Any = "pruned", timeout_seconds: float | None = None
    ) -> Any:
        """Run the pruned network; see `Client.infer`."""
        model = result_of(self).model
        return await self._client.infer(model, x, variant=variant, timeout_seconds=timeout_seconds)

    async def infer_image(self, image: AnyPath | bytes, top_k: int = 5) -> list[Label]:
        """Return the best classes of an image, the best first."""
        return await self._client.infer_image(result_of(self).model, image, top_k)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("status", self.status), ("stage", self.stage)]


class AsyncSweep(SweepData):
    """A sweep as it was when it was read."""

    _client: "AsyncClient" = PrivateAttr()

    @classmethod
    def of(cls, client: "AsyncClient", data: SweepData) -> "AsyncSweep":
        """Return a sweep that its client can do something with."""
        sweep = cls.model_construct(**data.__dict__, **(data.model_extra or {}))
        sweep._client = client  # noqa: SLF001  # its own
        return sweep

    async def refresh(self) -> "AsyncSweep":
        """Read the sweep again, with its table."""
        return await self._client.get_sweep(self.id)

    async def wait(
        self,
        timeout: float | None = None,
        on_progress: Callable[[SweepData], None] | None = None,
    ) -> "AsyncSweep":
        """Return the sweep when all its jobs have ended, however they did."""
        return await self._client.wait_for_sweep(self, timeout, on_progress)

    async def cancel(self) -> "AsyncSweep":
        """Cancel every job that has not ended."""
        return await self._client.cancel_sweep(self.id)

    async def picture(self) -> bytes:
        """Return the Pareto fronts as SVG."""
        return await self._client.picture(self.id)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [("id", self.id), ("status", self.status), ("counts", self.counts)]
