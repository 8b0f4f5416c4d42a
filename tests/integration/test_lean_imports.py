"""Each package imports only what it may, in a fresh interpreter."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("app.main", ["torch", "worker"]),
        ("app.cli.main", ["torch", "worker", "fastapi", "sqlalchemy", "celery", "httpx", "numpy"]),
        (
            "app.cli.commands.prune, app.cli.commands.pull, app.cli.commands.jobs",
            ["torch", "worker", "app.contracts", "fastapi", "sqlalchemy", "celery", "numpy"],
        ),
        (
            "secateur",
            ["torch", "app", "worker", "fastapi", "sqlalchemy", "celery", "numpy", "typer"],
        ),
        ("secateur.torch", ["app", "worker", "fastapi", "sqlalchemy", "celery"]),
        (
            (
                "app.contracts.repositories.leases, app.contracts.spec, app.contracts.storage, "
                "app.contracts.tasks, app.contracts.report, app.contracts.migrations"
            ),
            ["torch", "celery", "fastapi"],
        ),
        ("worker.runner", ["torch"]),
        (
            (
                "worker.engine.graph, worker.engine.surgery, worker.engine.retrain, "
                "worker.engine.selection, worker.engine.saliency, worker.engine.program.reader, "
                "worker.engine.export.onnx, worker.engine.measure, worker.engine.curves"
            ),
            ["fastapi", "sqlalchemy", "celery", "pydantic", "app"],
        ),
        ("worker.pipeline.process", ["sqlalchemy", "celery", "fastapi", "obstore"]),
    ],
)
def test_a_package_imports_without_what_it_does_not_need(module: str, forbidden: list[str]) -> None:
    code = f"import sys, {module}\nprint(*[n for n in {forbidden!r} if n in sys.modules])"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
