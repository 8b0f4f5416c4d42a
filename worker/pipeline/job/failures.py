"""Mapping from engine errors to the service's failure codes."""

import errno
import os

import torch

from app.contracts.job import FAILURES, FailureCode, Stage
from secateur.engine import errors
from worker.fork_server.cause import cause_of
from worker.messages import Failed, shorten
from worker.pipeline.job.device import DeviceUnavailableError

_CODES: dict[type[BaseException], FailureCode] = {
    errors.UnsupportedOpError: FailureCode.UNSUPPORTED_OP,
    errors.ModelTooLargeError: FailureCode.TOO_LARGE,
    errors.ModelRejectedError: FailureCode.MODEL_REJECTED,
    errors.NothingPrunableError: FailureCode.NOTHING_PRUNABLE,
    errors.PlanError: FailureCode.PLAN_IMPOSSIBLE,
    errors.EquivalenceError: FailureCode.EQUIVALENCE_FAILED,
    errors.ExportError: FailureCode.EXPORT_FAILED,
    errors.DataTooLargeError: FailureCode.TOO_LARGE,
    errors.DataMismatchError: FailureCode.DATA_DOES_NOT_FIT,
    errors.DataError: FailureCode.DATA_ERROR,
    errors.DivergenceError: FailureCode.NAN_LOSS,
    MemoryError: FailureCode.OUT_OF_MEMORY,
}
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Parts of the messages for failed allocations: torch's, those of NVIDIA's libraries
# (CUBLAS_STATUS_ALLOC_FAILED, …) and ONNX Runtime's.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "MemoryAllocation",
    "Failed to allocate memory",
    "smaller than requested bytes",
    "bad allocation",
    "bad_alloc",
)
# Parts of the messages of a device that is lost, busy, or no longer answers. A job can cause some
# of them, so the worker checks its device.
_DEVICE_LOST = (
    "CUDA error",
    "CUDA driver",
    "CUDA GPUs",
    "CUDNN_STATUS",
    "CUBLAS_STATUS",
    "cuDNN error",
)


def to_failed(error: BaseException, stage: Stage | None) -> Failed:
    """Return the final message of a job process that ends with ``error``."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            code = _CODES[kind]
            message = str(error) or FAILURES[code].message
            hint = getattr(error, "hint", "")
            return Failed(code=code, message=shorten(message), stage=stage, hint=shorten(hint))
    code, message = _of_machine(error)
    return Failed(code=code, message=shorten(message), stage=stage)


def _of_machine(error: BaseException) -> tuple[FailureCode, str]:
    """Return the code and the message of an error that the engine does not raise."""
    if is_out_of_memory(error):
        code = FailureCode.OUT_OF_MEMORY
        return code, FAILURES[code].message
    if isinstance(error, DeviceUnavailableError):
        return FailureCode.DEVICE_UNAVAILABLE, str(error)
    if _is_device_lost(error):
        reason = (str(error).splitlines() or [""])[0]
        return FailureCode.DEVICE_UNAVAILABLE, f"the worker's device failed: {reason[:200]}"
    if _is_disk_full(error):
        return FailureCode.STORAGE_UNAVAILABLE, "the worker's disk is full"
    if isinstance(error, ImportError):  # lazy imports fail here
        return FailureCode.WORKER_UNFIT, f"the worker cannot run this job: {cause_of(error)}"
    # Unexpected error: its text may hold paths or values, so it goes only to the log.
    code = FailureCode.INTERNAL
    return code, FAILURES[code].message


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error is a failed allocation in torch, ONNX Runtime or Python."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in _OUT_OF_MEMORY)
    return isinstance(error, MemoryError)


def _is_device_lost(error: BaseException) -> bool:
    if not isinstance(error, RuntimeError):
        return False
    is_told = isinstance(error, torch.AcceleratorError)
    return is_told or any(words in str(error) for words in _DEVICE_LOST)


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _DISK_IS_FULL
    # safetensors and the ONNX writers raise their own exceptions with the OS error text.
    return any(os.strerror(number) in str(error) for number in _DISK_IS_FULL)
