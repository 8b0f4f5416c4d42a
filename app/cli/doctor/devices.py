"""Device checks: cores and GPUs against the settings, torch and ONNX Runtime."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from app.cli.doctor.finding import Finding, Status
from app.cli.gpus import GpuError, list_gpus
from app.cli.worker_parts import BrokenPart, Probe, how_to_install
from app.contracts.installation import WORKER_MODULES
from app.contracts.settings import Settings
from app.inference.provider import find_trouble

_IMPORT_SECONDS = 120
# A subprocess, because the API's side never imports torch.
_PROBE = f"""
import json, {", ".join(WORKER_MODULES)}
print(json.dumps([torch.__version__, torch.cuda.is_available(), torch.cuda.device_count()]))
"""


def check_devices(settings: Settings) -> Iterator[Finding]:
    """Check cores, torch, and the GPUs if the settings use them."""
    yield _check_cores(settings)
    is_cuda = settings.worker.device.startswith("cuda")
    if find_spec("torch") is not None:
        yield from _check_torch(is_cuda=is_cuda)
    if is_cuda:
        yield _check_gpus(settings)
    if (trouble := find_trouble(settings)) is not None:
        detail, _, advice = trouble.partition(": ")
        yield Finding("onnxruntime", Status.FAIL, detail, advice)


def _check_cores(settings: Settings) -> Finding:
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = settings.worker.num_threads
    if num_cores is not None and wanted > num_cores:
        detail = f"jobs use {wanted} threads on {num_cores} cores"
        return Finding("cores", Status.NOTE, detail, "set SECATEUR_WORKER__NUM_THREADS=0")
    return Finding("cores", Status.OK, f"{num_cores}")


def _check_torch(*, is_cuda: bool) -> Iterator[Finding]:
    try:
        done = subprocess.run(  # noqa: S603  # this Python, fixed arguments
            [sys.executable, "-W", "ignore", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_IMPORT_SECONDS,
            check=True,
        )
        version, has_cuda, num_gpus = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        # Find the broken module only after a failure: each import costs seconds.
        broken = Probe(os.environ).result() or [BrokenPart("torch", str(error))]  # noqa: TID251
        detail = "; ".join(map(str, broken))
        yield Finding("torch", Status.FAIL, detail, how_to_install(broken))
        return
    what = f"torch {version}, " + (f"{num_gpus} GPUs" if has_cuda else "CPU")
    if is_cuda and not has_cuda:
        advice = (
            "install the NVIDIA driver and a CUDA build of torch, or set "
            "SECATEUR_WORKER__DEVICE=cpu"
        )
        yield Finding("torch", Status.FAIL, f"worker.device is cuda; {what}", advice)
    elif has_cuda and not is_cuda:
        advice = "set SECATEUR_WORKER__DEVICE=cuda to retrain on them"
        yield Finding("torch", Status.NOTE, f"{what}; worker.device is cpu", advice)
    else:
        yield Finding("torch", Status.OK, what)


def _check_gpus(settings: Settings) -> Finding:
    try:
        found = list_gpus()
    except GpuError as error:
        return Finding("gpus", Status.FAIL, str(error), "run nvidia-smi and follow its message")
    if missing := [gpu for gpu in settings.worker.gpus if gpu not in found]:
        detail = f"worker.gpus names {', '.join(missing)}; this machine has {', '.join(found)}"
        advice = "correct SECATEUR_WORKER__GPUS: nvidia-smi -L lists GPUs and their MIG devices"
        return Finding("gpus", Status.FAIL, detail, advice)
    return Finding("gpus", Status.OK, ", ".join(found))
