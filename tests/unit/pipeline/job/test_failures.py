"""Errors of the engine, of imports and of memory become failure codes of the service."""

import pytest

from secateur.engine.errors import DataError, DivergenceError, EngineError
from worker.pipeline.job.failures import _CODES, to_failed


def test_every_engine_error_has_a_failure_code() -> None:
    assert set(EngineError.__subclasses__()) <= set(_CODES)
    failed = to_failed(DivergenceError("the loss became nan"), None)
    assert (failed.code, failed.message) == ("nan_loss", "the loss became nan")


def test_unknown_errors_are_internal_and_reveal_nothing() -> None:
    failed = to_failed(KeyError("/secret/path"), None)
    assert failed.code == "internal"
    assert "secret" not in failed.message


def test_running_out_of_memory_is_recognised() -> None:
    torch_says = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    assert to_failed(torch_says, None).code == "out_of_memory"
    assert to_failed(MemoryError(), None).code == "out_of_memory"
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
