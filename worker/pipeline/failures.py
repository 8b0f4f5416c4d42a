"""The one seam where the engine's errors become the service's failure codes."""

from app.contracts.job import FAILURES, FailureCode, Stage
from worker.engine import errors
from worker.protocol import Failed

_CODES: dict[type[BaseException], FailureCode] = {
    errors.UnsupportedOpError: FailureCode.UNSUPPORTED_OP,
    errors.ModelRejectedError: FailureCode.MODEL_REJECTED,
    errors.NothingPrunableError: FailureCode.NOTHING_PRUNABLE,
    errors.PlanError: FailureCode.PLAN_IMPOSSIBLE,
    errors.EquivalenceError: FailureCode.EQUIVALENCE_FAILED,
    errors.ExportError: FailureCode.EXPORT_FAILED,
    errors.DataError: FailureCode.DATA_ERROR,
    errors.DivergenceError: FailureCode.NAN_LOSS,
    MemoryError: FailureCode.OUT_OF_MEMORY,
}
_MAX_MESSAGE = 2000
# What torch says when an allocation fails: on the CPU, and on a GPU.
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def to_failed(error: BaseException, stage: Stage | None) -> Failed:
    """Return the last message of a child that ends with ``error``."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            code = _CODES[kind]
            message = str(error) or FAILURES[code].message
            return Failed(code=code, message=message[:_MAX_MESSAGE], stage=stage)
    if isinstance(error, RuntimeError) and any(s in str(error) for s in _OUT_OF_MEMORY):
        code = FailureCode.OUT_OF_MEMORY
        return Failed(code=code, message=FAILURES[code].message, stage=stage)
    # Not one of ours: its text may hold paths or values, so it goes to the log alone.
    code = FailureCode.INTERNAL
    return Failed(code=code, message=FAILURES[code].message, stage=stage)
