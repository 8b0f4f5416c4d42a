"""The compared servers: how each starts, and its requests."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving.networks import SHAPE, image
from benchmarks.serving.ours import prepare

CACHE = Path(".secateur-cache") / "serving"
PEERS = Path(__file__).parent / "peers"
BATCH = 16
# Workers of MLServer 1.7.1 do not start with a newer version.
BESIDES = {"mlserver": ("uvloop<0.22",)}


@dataclass(frozen=True)
class Call:
    """A kind of request: path, body and headers."""

    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Running:
    """Command line, environment and requests of a server."""

    argv: Sequence[str]
    calls: Mapping[str, Call]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


# Given the ONNX file, a scratch folder and a port.
Start = Callable[[Path, Path, int], Running]


@dataclass(frozen=True)
class Server:
    """A server in the comparison.

    Attributes:
        name: Name in the results.
        start: Function that prepares it.
        package: PyPI package, installed in its own virtual environment. None means this service.
    """

    name: str
    start: Start
    package: str | None = None


def _json_body(key: str = "inputs") -> bytes:
    return json.dumps({key: np.round(image().astype(float), 6).tolist()}).encode()


def _v2_body() -> bytes:
    data = np.round(image().astype(float), 6).ravel().tolist()
    tensor = {"name": "x", "shape": list(SHAPE), "datatype": "FP32", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


_JSON = {"Content-Type": "application/json"}
_BYTES = {"Content-Type": "application/octet-stream"}


def _ours(onnx: Path, folder: Path, port: int) -> Running:
    model, key = prepare(onnx, folder)
    auth = {"Authorization": f"Bearer {key}"}
    data = image().tobytes()
    tensor = {
        "name": "x",
        "shape": list(SHAPE),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(data)},
    }
    head = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head_bytes = json.dumps(head).encode()
    length = {"Inference-Header-Content-Length": str(len(head_bytes))}
    npy = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
    own, protocol = f"/v1/models/{model}/infer", f"/v2/models/{model}/infer"
    return Running(
        [sys.executable, "-m", "app.server"],
        {
            "json": Call(own, _json_body(), auth | _JSON),
            "binary": Call(protocol, head_bytes + data, auth | _BYTES | length),
            "json, /v2": Call(protocol, _v2_body(), auth | _JSON),
            "npy": Call(own, _npy(), auth | npy),
        },
        {
            "SECATEUR_DATA_DIR": str(folder / "data"),
            "SECATEUR_API__PORT": str(port),
            # Otherwise the benchmark would measure the tenant's request limit.
            "SECATEUR_QUOTAS__REQUESTS_PER_SECOND": "1000000",
        },
    )


def _npy() -> bytes:
    path = CACHE / "image.npy"
    np.save(path, image())
    return path.read_bytes()


def _fastapi(module: str) -> Start:
    def start(onnx: Path, _folder: Path, port: int) -> Running:
        argv = [sys.executable, "-m", "uvicorn", f"benchmarks.serving.peers.{module}:app"]
        argv += ["--port", str(port), "--log-level", "warning", "--no-access-log"]
        calls = {
            "json": Call("/json", _json_body(), _JSON),
            "binary": Call("/binary", image().tobytes(), _BYTES),
        }
        return Running(argv, calls, {"ONNX": str(onnx)})

    return start


def _litserve(batch: int, workers: int) -> Start:
    def start(onnx: Path, folder: Path, port: int) -> Running:
        argv = [_python("litserve"), str(PEERS.absolute() / "litserve_server.py")]
        environment = _environment(onnx, batch, workers) | {"PORT": str(port)}
        return Running(argv, {"json": Call("/predict", _json_body(), _JSON)}, environment, folder)

    return start


def _mlserver(batch: int, workers: int) -> Start:
    def start(onnx: Path, folder: Path, port: int) -> Running:
        shutil.copy(PEERS / "mlserver_model.py", folder)
        settings = {
            "http_port": port,
            "grpc_port": port + 1000,
            "metrics_port": port + 2000,
            "parallel_workers": workers,
            "debug": False,
        }
        model = {"name": "network", "implementation": "mlserver_model.Network"}
        if batch > 1:
            model |= {"max_batch_size": batch, "max_batch_time": 0.002}
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(json.dumps(model))
        argv = [str(Path(_python("mlserver")).with_name("mlserver")), "start", "."]
        calls = {"json": Call("/v2/models/network/infer", _v2_body(), _JSON)}
        return Running(argv, calls, _environment(onnx, batch, workers), folder)

    return start


def _bentoml(batch: int, workers: int) -> Start:
    def start(onnx: Path, folder: Path, port: int) -> Running:
        shutil.copy(PEERS / "bentoml_service.py", folder)
        argv = [str(Path(_python("bentoml")).with_name("bentoml")), "serve"]
        argv += ["bentoml_service:Network", "--port", str(port)]
        environment = _environment(onnx, batch, workers) | {"BENTOML_DO_NOT_TRACK": "true"}
        return Running(argv, {"json": Call("/infer", _json_body(), _JSON)}, environment, folder)

    return start


def _environment(onnx: Path, batch: int, workers: int) -> dict[str, str]:
    return {"ONNX": str(onnx), "BATCH": str(batch), "WORKERS": str(workers)}


def _python(package: str) -> str:
    return str((CACHE / package / "bin" / "python").absolute())


def install(package: str) -> dict[str, str]:
    """Create a peer's virtual environment unless it exists; return its package versions."""
    python = _python(package)
    if not Path(python).exists():
        subprocess.run([sys.executable, "-m", "venv", str(CACHE / package)], check=True)  # noqa: S603
        besides = BESIDES.get(package, ())
        argv = [python, "-m", "pip", "install", "--quiet", package, "onnxruntime", *besides]
        subprocess.run(argv, check=True)  # noqa: S603
    argv = [python, "-m", "pip", "list", "--format", "json"]
    found = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)  # noqa: S603
    wanted = {package, "onnxruntime", "numpy", "fastapi", "starlette", "uvicorn", "uvloop"}
    return {item["name"]: item["version"] for item in found if item["name"] in wanted}


def environment_of(running: Running) -> dict[str, str]:
    """Return a server's environment: ours plus its own, with one OpenMP thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", **running.environment}  # noqa: TID251  # handed on


SERVERS = (
    Server("secateur", _ours),
    Server("fastapi, idiomatic", _fastapi("fastapi_idiomatic")),
    Server("fastapi, lean", _fastapi("fastapi_lean")),
    Server("litserve", _litserve(1, 1), "litserve"),
    Server("litserve, 2 workers, batches", _litserve(BATCH, 2), "litserve"),
    Server("mlserver", _mlserver(1, 1), "mlserver"),
    Server("mlserver, in process, batches", _mlserver(BATCH, 0), "mlserver"),
    Server("bentoml", _bentoml(1, 1), "bentoml"),
    Server("bentoml, 2 workers, batches", _bentoml(BATCH, 2), "bentoml"),
)
