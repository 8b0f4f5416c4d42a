"""Errors of the engine, of imports and of memory become failure codes of the service."""

import pytest
import torch

from app.contracts.job import FAILURES
from secateur.engine.errors import DataError, DivergenceError, EngineError
from worker.pipeline.job.device import DeviceUnavailableError
from worker.pipeline.job.failures import _CODES, to_failed


def test_every_engine_error_has_a_failure_code() -> None:
    assert set(EngineError.__subclasses__()) <= set(_CODES)
    failed = to_failed(DivergenceError("the loss became nan"), None)
    assert (failed.code, failed.message) == ("nan_loss", "the loss became nan")


def test_unknown_errors_are_internal_and_reveal_nothing() -> None:
    failed = to_failed(KeyError("/secret/path"), None)
    assert failed.code == "internal"
    assert "secret" not in failed.message


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("Failed to allocate memory for requested buffer of size 4096"),
        RuntimeError("Available memory of 1 is smaller than requested bytes of 2"),
        torch.OutOfMemoryError("Tried to allocate 2.00 GiB"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_is_recognised(error: Exception) -> None:
    assert to_failed(error, None).code == "out_of_memory"


@pytest.mark.parametrize(
    "error",
    [
        DeviceUnavailableError("the worker's device cuda does not compute: no CUDA GPUs"),
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
        RuntimeError("No CUDA GPUs are available"),
        RuntimeError("CUDA driver initialization failed, you might not have a CUDA gpu."),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
)
def test_a_device_that_is_lost_is_a_failure_of_the_worker(error: Exception) -> None:
    failed = to_failed(error, None)
    assert failed.code == "device_unavailable"
    assert FAILURES[failed.code].is_retryable
    assert "device" in failed.message


def test_long_messages_are_cut() -> None:
    assert len(to_failed(DataError("x" * 9999), None).message) == 2000


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ModuleNotFoundError("No module named 'torchvision'"), "No module named 'torchvision'"),
        (
            ImportError("cannot import name 'v2' from 'torchvision' (/home/me/torchvision/a.py)"),
            "cannot import name 'v2' from 'torchvision'",
        ),
        (ImportError("libgomp.so.1: cannot open shared object file\nand more"), "libgomp.so.1"),
    ],
)
def test_a_failed_import_names_the_module_but_no_paths(error: Exception, cause: str) -> None:
    failed = to_failed(error, None)
    assert failed.code == "worker_unfit"
    assert cause in failed.message
    assert "/home" not in failed.message
    assert "\n" not in failed.message
