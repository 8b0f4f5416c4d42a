"""What is imported when a job needs it may not be there; then the worker is unfit, not the job."""

import pytest

from worker.pipeline.job.failures import to_failed


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
def test_a_failed_import_names_what_is_missing_and_not_where_python_lies(
    error: Exception, cause: str
) -> None:
    failed = to_failed(error, None)
    assert failed.code == "worker_unfit"
    assert cause in failed.message
    assert "/home" not in failed.message
    assert "\n" not in failed.message
