"""The names of `secateur.engine`, frozen and documented, and how both packages import theirs."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import secateur
from secateur import engine

SURFACE = """
Analysis Budget CRITERIA CalibrationBatch Certificate CostModel EngineError Plan Program
ProgramModule Ratio RepairOptions RetrainOptions SaliencyOptions SelectionOptions Steepness
TrainingData analyse certify compact compare_latency count_macs count_parameters cut evaluate
export_onnx from_exported from_module make_plan mask_program read_onnx read_program recalibrate
repair_program retrain_program select write_program
""".split()


def test_the_public_surface_is_unchanged() -> None:
    assert sorted(engine.__all__) == sorted(SURFACE)


@pytest.mark.parametrize("package", [secateur, engine])
def test_type_checkers_see_the_names_that_are_imported(package: ModuleType) -> None:
    tree = ast.parse(Path(inspect.getfile(package)).read_text())
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("secateur")
        for alias in node.names
    }
    assert sorted(seen) == sorted(package.__all__)
    for name, module in seen.items():
        assert f"{package.__name__}.{package._MODULES[name]}" == module
        assert getattr(package, name) is getattr(importlib.import_module(module), name)


def test_modules_of_the_client_are_its_attributes() -> None:
    script = "import secateur; print(secateur.errors.SecateurError, secateur.engine.__all__[:1])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "SecateurError" in done.stdout


@pytest.mark.parametrize("name", SURFACE)
def test_every_public_name_is_documented(name: str) -> None:
    found = getattr(engine, name)
    assert name in dir(engine)
    if inspect.isfunction(found):
        assert found.__doc__
        raised = "Raises:" in found.__doc__ or name not in MAY_RAISE
        assert raised, f"{name} does not say what it raises"
    elif inspect.isclass(found):
        assert found.__doc__


MAY_RAISE = {
    "certify", "compact", "evaluate", "export_onnx", "from_exported", "from_module", "make_plan",
    "read_program", "repair_program", "retrain_program", "select",
}  # fmt: skip


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'prunne'"):
        engine.prunne  # noqa: B018
