"""The synchronous and the asynchronous Python client with a real service."""

import asyncio
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import BaseModel

from secateur import (
    AsyncClient,
    AuthenticationError,
    Client,
    ConflictError,
    ConnectionFailedError,
    InvalidRequestError,
    JobCancelledError,
    JobFailedError,
    ModelRejectedError,
    NotFoundError,
    WaitTimeoutError,
)
from secateur.torch import load_program, load_pruned, push_module
from tests.fixtures.cutting_proxy import CuttingProxy, cutting_proxy
from tests.fixtures.networks import SmallNet
from tests.fixtures.service import (
    Service,
    images,
    npz_bytes,
    serving,
    trained_model_bytes,
    trained_net,
)

CONFIG = {
    "selection": {"mode": "budget", "macs": 0.5, "round_to": 4},
    "retrain": {"epochs": 2, "batch_size": 32},
}
QUICK = {"selection": {"mode": "ratio", "ratio": 0.5}, "retrain": {"epochs": 0}}
ENDLESS = {"retrain": {"epochs": 1000, "batch_size": 4}, "selection": {"round_to": 2}}

AnyClient = Any  # a Client or an AsyncClient: a scenario awaits what is to be awaited
Scenario = Callable[[AnyClient], Awaitable[None]]
Run = Callable[..., None]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("client") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    x, y = images()
    (folder / "model.pt2").write_bytes(trained_model_bytes())
    (folder / "data.npz").write_bytes(npz_bytes(x=x, y=y))
    Image.fromarray(x[0]).save(folder / "image.png")
    return folder


@pytest.fixture
def proxy(service: Service) -> Iterator[CuttingProxy]:
    with cutting_proxy(service.url) as found:
        yield found


@pytest.fixture(params=[Client, AsyncClient])
def run(request: pytest.FixtureRequest, service: Service) -> Run:
    """Return a function that runs a scenario with one of the two clients."""

    def call(scenario: Scenario, url: str | None = None, key: str | None = None) -> None:
        async def whole() -> None:
            client = request.param(url or service.url, key or service.key, retries=5)
            try:
                await scenario(client)
            finally:
                await settled(client.close())

        asyncio.run(whole())

    return call


async def settled(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def listed(events: Any) -> list[Any]:
    return [event async for event in events] if hasattr(events, "__aiter__") else list(events)


def unknown_members(found: object, path: str = "") -> list[str]:
    """Return the fields of a response that its type does not declare."""
    if isinstance(found, list | tuple):
        return [name for item in found for name in unknown_members(item, path)]
    if not isinstance(found, BaseModel):
        return []
    names = [f"{path}/{name}" for name in found.model_extra or {}]
    for name in type(found).model_fields:
        names += unknown_members(getattr(found, name), f"{path}/{name}")
    return names


def test_the_complete_workflow(run: Run, files: Path, tmp_path: Path) -> None:
    async def scenario(client: AnyClient) -> None:
        sent: list[tuple[int, int]] = []
        model = await settled(
            client.push(
                files / "model.pt2", name="net", on_progress=lambda *done: sent.append(done)
            )
        )
        size = (files / "model.pt2").stat().st_size
        assert sent[-1] == (size, size)
        assert (model.name, model.status, model.num_bytes) == ("net", "ready", size)
        preprocess = {"mean": [0.1], "std": [0.9]}
        data = await settled(client.push_dataset(files / "data.npz", preprocess=preprocess))
        assert data.preprocess["mean"] == [0.1]
        plan = await settled(client.plan(model, data, CONFIG))
        job = await settled(client.prune(model, data, CONFIG, metadata={"of": "a test"}))
        events = await listed(job.events())
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert events[-1].type == "job.succeeded"
        seen: list[str] = []
        job = await settled(job.wait(on_progress=lambda found: seen.append(found.status)))
        assert (job.status, job.metadata) == ("succeeded", {"of": "a test"})
        summary = job.result.summary
        assert summary.retrained.macs == plan.pruned["macs"] <= 0.5 * plan.dense["macs"]
        assert summary.retrained.value("top1") > 0.9
        assert summary.equivalence.is_exact
        assert unknown_members([model, data, plan, job, *events]) == []

        x = (images(20)[0][:, None] / 255 - 0.1) / 0.9
        y = await settled(job.infer(x))
        assert (y.shape, y.dtype) == ((20, 4), np.float32)
        named = await settled(client.infer(job.result.model, {"x": x}))
        assert [array.tobytes() for array in named.values()] == [y.tobytes()]
        both = await settled(client.infer(job, x, variant="both"))
        assert both.pruned.tobytes() == y.tobytes()
        base = await settled(client.infer(f"net@{job.result.version}", x, variant="base"))
        assert both.base.tobytes() == base.tobytes()
        labels = await settled(job.infer_image(files / "image.png", top_k=2))
        assert labels[0].score > labels[1].score
        assert labels[0].label == str(images()[1][0])

        folder = tmp_path / "pruned"
        paths = await settled(job.download(folder))
        manifest = json.loads((folder / "manifest.json").read_text())
        assert {path.name for path in paths} == {*manifest["files"], "manifest.json"}
        program = load_program(folder)
        with torch.no_grad():
            theirs = program(torch.from_numpy(x.astype(np.float32))).numpy()
        assert np.allclose(theirs, y, atol=1e-4)

    run(scenario)


def test_one_line_is_enough(service: Service, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither URL nor key is needed: the client reads the files of `secateur serve`."""
    monkeypatch.setenv("SECATEUR_DATA_DIR", str(service.folder))
    monkeypatch.delenv("SECATEUR_URL", raising=False)
    monkeypatch.delenv("SECATEUR_KEY", raising=False)
    for name in ("url", "api-key"):
        assert (service.folder / name).stat().st_mode & 0o777 == 0o600
    with Client() as client:
        x = np.zeros((2, 1, 8, 8), np.float32)
        y = client.prune(files / "model.pt2", files / "data.npz", QUICK).wait().infer(x)
    assert y.shape == (2, 4)


def test_the_address_file_exists_only_while_the_service_runs(tmp_path: Path) -> None:
    found = Service(tmp_path / "data")
    found.start("--no-worker")
    try:
        assert (tmp_path / "data" / "url").read_text().strip() == found.url
    finally:
        assert found.stop() == 0
    assert not (tmp_path / "data" / "url").exists()
    assert (tmp_path / "data" / "api-key").exists()


def test_refused_requests_raise_errors_with_reasons(run: Run, files: Path) -> None:
    async def scenario(client: AnyClient) -> None:
        with pytest.raises(NotFoundError, match="there is no job 'job_x'"):
            await settled(client.get_job("job_x"))
        garbage = files / "garbage.pt2"
        whole = (files / "model.pt2").read_bytes()
        garbage.write_bytes(whole.replace(b'"nodes"', b'"modes"'))
        with pytest.raises(ModelRejectedError) as rejected:
            await settled(client.push(garbage))
        assert rejected.value.model.status == "rejected"
        with pytest.raises(ConflictError, match="was rejected"):
            await settled(client.prune(rejected.value.model))
        model = await settled(client.push(files / "model.pt2"))
        with pytest.raises(InvalidRequestError) as refused:
            await settled(client.prune(model, config={"retrain": {"epochs": -1}, "colour": 1}))
        assert {error.pointer for error in refused.value.errors} == {
            "/config/retrain/epochs",
            "/config/colour",
        }
        narrow = {"selection": {"mode": "budget", "macs": 0.0001}}
        job = await settled(client.prune(model, config=narrow))
        with pytest.raises(JobFailedError, match="narrowest") as failed:
            await settled(job.wait())
        assert failed.value.job.error is not None
        assert failed.value.job.error.code == "plan_impossible"
        with pytest.raises(InvalidRequestError, match="takes shape"):
            await settled(client.infer(model, np.zeros((1, 3, 9, 9))))

    run(scenario)


def test_a_bad_key_is_refused_before_a_large_file_is_sent(
    run: Run, files: Path, tmp_path: Path
) -> None:
    async def scenario(client: AnyClient) -> None:
        with pytest.raises(AuthenticationError, match="SECATEUR_KEY"):
            await settled(client.push(tmp_path / "large.pt2"))

    with (tmp_path / "large.pt2").open("wb") as file:
        file.write((files / "model.pt2").read_bytes())
        file.truncate(200_000_000)
    run(scenario, key="sec_nobody_x")


@pytest.mark.parametrize("run", [Client], indirect=True)  # AsyncClient is generated from it
def test_a_job_is_paused_resumed_and_cancelled(run: Run, files: Path) -> None:
    async def scenario(client: AnyClient) -> None:
        job = await settled(client.prune(files / "model.pt2", files / "data.npz", ENDLESS))
        with pytest.raises(WaitTimeoutError, match="it continues"):
            await settled(job.wait(timeout=1))
        job = await settled(job.pause())
        while job.status != "paused":
            job = await settled(job.refresh())
        job = await settled(job.resume())
        assert job.status in {"queued", "running"}
        job = await settled(job.cancel())
        with pytest.raises(JobCancelledError):
            await settled(job.wait())
        with pytest.raises(ConflictError, match="has ended"):
            await settled(job.cancel())

    run(scenario)


@pytest.mark.parametrize("run", [Client], indirect=True)  # AsyncClient is generated from it
def test_a_sweep_returns_a_table_and_a_picture(run: Run, files: Path) -> None:
    async def scenario(client: AnyClient) -> None:
        config = {"selection": {"mode": "budget", "round_to": 1}, "retrain": {"epochs": 0}}
        grid = {"/selection/macs": [0.8, 0.0001]}
        model = await settled(client.push(files / "model.pt2"))
        sweep = await settled(
            client.sweep(model, files / "data.npz", grid=grid, config=config, metadata={"a": "b"})
        )
        sweep = await settled(sweep.wait(timeout=200))
        assert (sweep.status, sweep.counts) == ("partial", {"succeeded": 1, "failed": 1})
        assert [row.error for row in sweep.table] == [None, "plan_impossible"]
        assert b"<svg" in await settled(sweep.picture())
        assert unknown_members(sweep) == []
        found = await settled(client.sweeps(limit=1))
        assert [one.id for one in found] == [sweep.id]

    run(scenario)


def test_resources_are_listed_read_and_deleted(run: Run, files: Path) -> None:
    async def scenario(client: AnyClient) -> None:
        pushed = [await settled(client.push(files / "model.pt2", name="many")) for _ in range(3)]
        newest = [model.id for model in reversed(pushed)]
        assert [model.id for model in await settled(client.models(limit=2))] == newest[:2]
        every = [model.id for model in await settled(client.models(limit=None))]
        assert every[:3] == newest
        report = await settled(client.report(pushed[0]))
        assert report["macs"] == pushed[0].macs
        await settled(client.delete_model(pushed[0]))
        with pytest.raises(NotFoundError):
            await settled(client.get_model(pushed[0].id))
        data = await settled(client.push_dataset(files / "data.npz", name="few"))
        assert (await settled(client.datasets(limit=1)))[0].id == data.id
        await settled(client.delete_dataset(data))
        quotas = await settled(client.quotas())
        assert quotas.quotas["stored_bytes"].used > 0
        assert (await settled(client.ready()))["status"] == "ok"

    run(scenario)


def test_an_interrupted_upload_creates_one_resource(
    run: Run, files: Path, proxy: CuttingProxy
) -> None:
    """The connection breaks once in the request and once in the response, after the creation."""

    async def scenario(client: AnyClient) -> None:
        before = len(await settled(client.models(limit=None)))
        proxy.up, proxy.down = [20_000], [10**9, 50]
        proxied = type(client)(proxy.url, client.target.api_key)
        model = await settled(proxied.push(files / "model.pt2", name="once"))
        await settled(proxied.close())
        assert proxy.num_cut == 2
        models = await settled(client.models(limit=None))
        assert len(models) == before + 1
        assert models[0].id == model.id

    run(scenario)


def test_an_interrupted_download_and_stream_resume(
    run: Run, files: Path, proxy: CuttingProxy, tmp_path: Path
) -> None:
    async def scenario(client: AnyClient) -> None:
        job = await settled(client.prune(files / "model.pt2", files / "data.npz", QUICK))
        await settled(job.wait())
        events = await listed(job.events())
        proxied = type(client)(proxy.url, client.target.api_key)
        proxy.down = [1500, 1500]
        again = await listed(proxied.events(job.id))
        assert [event.number for event in again] == [event.number for event in events]
        assert proxy.num_cut == 2
        await settled(proxied.close())
        other = type(client)(proxy.url, client.target.api_key)
        # The list of files comes whole, and then pieces of the file.
        proxy.down = [15_000, 9000]
        progress: list[tuple[str, int, int]] = []
        (path,) = await settled(
            other.download(
                job.id, tmp_path, ["pruned.pt2"], on_progress=lambda *p: progress.append(p)
            )
        )
        await settled(other.close())
        assert proxy.num_cut == 4
        done = [here for _, here, _ in progress]
        assert done == sorted(done), "it never began again"
        assert done[-1] == path.stat().st_size

    run(scenario)


def test_an_unreachable_service_is_reported(service: Service) -> None:
    with (
        Client("http://127.0.0.1:9", service.key, retries=0) as client,
        pytest.raises(ConnectionFailedError, match="secateur serve"),
    ):
        client.models()


@pytest.mark.parametrize("run", [Client], indirect=True)  # AsyncClient is generated from it
def test_a_live_module_is_pruned_and_loaded(run: Run, files: Path) -> None:
    async def scenario(client: AnyClient) -> None:
        net = trained_net().train()
        net.bn1.eval()
        modes = [layer.training for layer in net.modules()]
        model = await settled(push_module(client, net, torch.randn(1, 1, 8, 8)))
        assert model.name == "SmallNet"
        assert [layer.training for layer in net.modules()] == modes
        job = await settled((await settled(client.prune(model, files / "data.npz", QUICK))).wait())
        if isinstance(client, AsyncClient):
            return
        smaller = load_pruned(job, SmallNet(16)).eval()
        assert smaller.conv1.out_channels == len(smaller.conv1.weight) < 16
        x = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)
        y = job.infer(x)
        for module in (smaller, load_program(job)):
            with torch.no_grad():
                assert np.allclose(module(torch.from_numpy(x)).numpy(), y, atol=1e-4)

    run(scenario)


def test_an_assistant_prunes_a_model_with_the_tools_of_secateur_mcp(
    service: Service, files: Path, tmp_path: Path
) -> None:
    # Half a second: not in every process of the tests.
    from mcp import Client as McpClient  # noqa: PLC0415
    from mcp import StdioServerParameters, stdio_client  # noqa: PLC0415

    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", "from secateur.commands import main; main()", "mcp", "--url", service.url],
        env={"SECATEUR_KEY": service.key},
    )

    async def converse() -> None:
        async with McpClient(stdio_client(server)) as assistant:
            tools = {tool.name: tool for tool in (await assistant.list_tools()).tools}
            assert all(tool.description for tool in tools.values())
            assert tools["prune"].input_schema["required"] == ["model"]

            async def use(name: str, **arguments: Any) -> Any:
                answer = await assistant.call_tool(name, arguments)
                assert not answer.is_error, answer.content
                return answer.structured_content

            asked = {"model": str(files / "model.pt2"), "data": str(files / "data.npz")}
            planned = await use("plan", **asked, goal="smaller")
            assert planned["left"]["num_parameters"] <= 0.5
            started = await use("prune", **asked, config=QUICK)
            ended = await use("wait_for_job", job=started["job"], seconds=100)
            assert ended["status"] == "succeeded"
            assert ended["verdict"]["text"]
            assert ended["result"]["summary"]["pruned"]["macs"] > 0
            arguments = {"job": started["job"], "folder": str(tmp_path), "names": ["model.onnx"]}
            assert (await use("download_files", **arguments))["result"] == [
                str(tmp_path / "model.onnx")
            ]
            found = await use("list_models")
            assert ended["result"]["model"] in {model["id"] for model in found["result"]}
            refused = await assistant.call_tool("plan", {**asked, "config": {"retrian": {}}})
            assert refused.is_error
            assert "retrian" in refused.content[0].text

    asyncio.run(converse())
