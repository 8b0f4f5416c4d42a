"""User code that `make check` type-checks with mypy; `assert_type` states the expected types."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from secateur import (
    ApiError,
    AsyncClient,
    AsyncJob,
    Client,
    Comparison,
    Dataset,
    Event,
    Job,
    JobFailedError,
    JobResult,
    Label,
    Model,
    Sweep,
)
from secateur.config import PruneConfig
from secateur.torch import load_program, load_pruned, push_module
from secateur.types import JobData

Array = NDArray[Any]


def prune(path: Path, x: NDArray[np.float32]) -> Array:
    notes: list[str | None] = []
    with Client("http://127.0.0.1:8000", api_key="sec_x", timeout=10) as client:
        model = assert_type(client.push(path, name="net", image_size=32), Model)
        data = assert_type(client.push_dataset("d.npz", preprocess={"mean": [0.5]}), Dataset)
        job = client.prune(model, data, {"selection": {"macs": 0.5}}, metadata={"a": "b"})
        for event in job.events():
            assert_type(event, Event)
        job = assert_type(job.wait(timeout=3, on_progress=lambda now: notes.append(now.stage)), Job)
        assert_type(job.result, JobResult | None)
        assert_type(job.summary.retrained.macs, int)
        config: PruneConfig = {"selection": {"mode": "budget", "macs": 0.5}}
        assert_type(str(client.plan(model, data, config)), str)
        assert_type(client.prune(model, data, goal="faster", name="a", tags=["b"]), Job)
        if job.result is not None:
            assert_type(job.result.summary.retrained.value("top1"), float | None)
        assert_type(job.download("out", names=["model.onnx"]), list[Path])
        assert_type(job.infer_image("a.png"), list[Label])
        assert_type(job.infer({"input": x}), dict[str, Array])
        assert_type(client.infer("net@production", x, variant="both"), Comparison)
        assert_type(client.sweep(model, grid={"/selection/macs": [0.5]}).wait(), Sweep)
        return assert_type(client.prune("m.pt2").wait().infer(x), Array)


async def prune_async(x: NDArray[np.float32]) -> Array:
    async with AsyncClient() as client:
        job = assert_type(await client.prune("m.pt2", "d.npz"), AsyncJob)
        async for event in job.events():
            assert_type(event, Event)
        job = await (await job.pause()).resume()
        try:
            job = await job.wait()
        except JobFailedError as error:
            assert_type(error.job, JobData)
        except ApiError as error:
            assert_type((error.status, error.code), tuple[int, str])
        return assert_type(await job.infer(x), Array)


class Net(nn.Module):
    """A user's network."""


def with_torch(client: Client, x: Tensor) -> Net:
    assert_type(push_module(client, Net(), x, name="net"), Model)
    assert_type(load_program("pruned"), nn.Module)
    return assert_type(load_pruned(client.get_job("job_x"), Net()), Net)


async def with_torch_async(client: AsyncClient, x: Tensor) -> Model:
    return await push_module(client, Net(), (x, x))
