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
            [
                "torch",
                "worker",
                "app.contracts.spec",
                "app.contracts.settings",
                "fastapi",
                "sqlalchemy",
                "celery",
                "numpy",
            ],
        ),
        ("secateur.commands", ["torch", "httpx", "pydantic", "numpy", "secateur.client"]),
        (
            "secateur, secateur.client, secateur.pruning",
            ["torch", "app", "worker", "fastapi", "sqlalchemy", "celery", "numpy", "typer"],
        ),
        ("secateur.torch", ["app", "worker", "fastapi", "sqlalchemy", "celery"]),
        (
            (
                "app.records.leases, app.contracts.spec, app.objects.storage, "
                "app.contracts.tasks, app.contracts.report, app.records.migrations"
            ),
            ["torch", "celery", "fastapi"],
        ),
        ("worker.runner", ["torch"]),
        (
            (
                "secateur.engine.graph, secateur.engine.surgery, secateur.engine.retrain, "
                "secateur.engine.selection, secateur.engine.saliency, "
                "secateur.engine.program.reader, "
                "secateur.engine.export.onnx, secateur.engine.measure"
            ),
            ["fastapi", "sqlalchemy", "celery", "pydantic", "httpx", "typer", "app", "worker"],
        ),
        ("worker.pipeline.process", ["sqlalchemy", "celery", "fastapi", "obstore"]),
    ],
)
def test_a_package_imports_without_what_it_does_not_need(module: str, forbidden: list[str]) -> None:
    code = f"import sys, {module}\nprint(*[n for n in {forbidden!r} if n in sys.modules])"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
