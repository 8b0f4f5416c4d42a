"""ONNX Runtime's execution providers: their options, and whether one runs on this machine.

``python -m app.serving.providers NAME`` prints what is missing, and nothing if the provider runs.
ONNX Runtime itself falls back to the CPU without an error.
"""

import contextlib
import sys
from typing import Any

import onnxruntime as ort
from onnx import TensorProto, helper

from app.contracts.settings import InferenceSettings

_CPU, _CUDA, _TENSORRT = (
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
)
NAMES = {"cpu": _CPU, "cuda": _CUDA, "tensorrt": _TENSORRT}
_INSTALL = (
    "pip uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]' (the two share a "
    "folder, so one must go first)"
)
# What a provider needs besides its package.
_NEEDS = {
    "cuda": f"that CUDA's and cuDNN's libraries are installed: {_INSTALL}",
    "tensorrt": "that the folder of TensorRT's libraries, libnvinfer and libnvonnxparser, is in "
    "LD_LIBRARY_PATH: install the TensorRT version that this onnxruntime-gpu was built for, or "
    "set SECATEUR_INFERENCE__PROVIDER=cuda, which needs none",
}
_FATAL = 4


def providers(settings: InferenceSettings) -> list[tuple[str, dict[str, Any]]]:
    """Return the providers of a session in order of preference, with their options."""
    cuda: dict[str, Any] = {
        "use_tf32": "0",  # files were certified in float32
        "cudnn_conv_algo_search": "HEURISTIC",  # the default searches for seconds at each new size
        "arena_extend_strategy": "kSameAsRequested",
    }
    tensorrt: dict[str, Any] = {}
    if settings.gpu_memory_bytes is not None:
        cuda["gpu_mem_limit"] = str(settings.gpu_memory_bytes)
        tensorrt["trt_max_workspace_size"] = str(settings.gpu_memory_bytes)
    known = {
        "cpu": [(_CPU, {})],
        "cuda": [(_CUDA, cuda), (_CPU, {})],
        "tensorrt": [(_TENSORRT, tensorrt), (_CUDA, cuda), (_CPU, {})],
    }
    return known[settings.provider]  # type: ignore[return-value]  # literals


def load_libraries(name: str) -> None:
    """Load the libraries of NVIDIA's packages, which are not on the system's path.

    Without them a provider falls back to the CPU. Call it in each process that opens sessions.
    """
    if name == "cpu" or not hasattr(ort, "preload_dlls"):
        return
    with contextlib.redirect_stdout(sys.stderr):  # it prints what is missing, needed or not
        ort.preload_dlls()


def find_missing(name: str) -> str | None:
    """Return what a provider needs and this machine lacks, or None if it runs."""
    wanted, there = NAMES[name], ort.get_available_providers()
    if wanted not in there:
        return f"this onnxruntime has only {', '.join(there)}: {_INSTALL}"
    load_libraries(name)
    ort.set_default_logger_severity(_FATAL)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it prints that it falls back
            session = ort.InferenceSession(_smallest(), providers=[wanted])
        found = session.get_providers()
    except Exception as error:  # noqa: BLE001  # ONNX Runtime's errors share no base class
        return f"{wanted} does not start: {str(error).splitlines()[0][:300]}"
    if found[0] == wanted:
        return None
    return (
        f"{wanted} is installed but does not start: check the driver with nvidia-smi (CUDA 13 "
        f"needs 580 or newer), and {_NEEDS[name]}"
    )


def _smallest() -> bytes:
    """Return an ONNX file that adds a number to itself."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])], "g", value[:1], value[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    missing = find_missing(sys.argv[1])
    if missing:
        sys.stdout.write(missing)
