"""Mapping from engine errors to the service's failure codes."""

import errno
import os

from app.contracts.job import FAILURES, FailureCode, Stage
from secateur.engine import errors
from worker.fork_server.cause import cause_of
from worker.messages import Failed, shorten

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
# Parts of torch's messages for failed allocations, on the CPU and on a GPU.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def to_failed(error: BaseException, stage: Stage | None) -> Failed:
    """Return the final message of a job process that ends with ``error``."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            code = _CODES[kind]
            message = str(error) or FAILURES[code].message
            hint = getattr(error, "hint", "")
            return Failed(code=code, message=shorten(message), stage=stage, hint=shorten(hint))
    if is_out_of_memory(error):
        code = FailureCode.OUT_OF_MEMORY
        return Failed(code=code, message=FAILURES[code].message, stage=stage)
    if _is_disk_full(error):
        code, message = FailureCode.STORAGE_UNAVAILABLE, "the worker's disk is full"
        return Failed(code=code, message=message, stage=stage)
    if isinstance(error, ImportError):  # lazy imports fail here
        message = f"the worker cannot run this job: {cause_of(error)}"
        return Failed(code=FailureCode.WORKER_UNFIT, message=message, stage=stage)
    # Unexpected error: its text may hold paths or values, so it goes only to the log.
    code = FailureCode.INTERNAL
    return Failed(code=code, message=FAILURES[code].message, stage=stage)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error is a failed allocation in torch or Python."""
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in _OUT_OF_MEMORY)
    return isinstance(error, MemoryError)


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in _DISK_IS_FULL
    # safetensors and the ONNX writers raise their own exceptions with the OS error text.
    return any(os.strerror(number) in str(error) for number in _DISK_IS_FULL)
