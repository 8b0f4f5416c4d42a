"""`secateur.engine` has these names, each documented; what is not here may change."""

import ast
import inspect
from pathlib import Path

import pytest

from secateur import engine

SURFACE = """
Analysis Budget CRITERIA CalibrationBatch Certificate CostModel EngineError Plan Program
ProgramModule Ratio RetrainOptions SaliencyOptions SelectionOptions Steepness TrainingData analyse
certify compact compare_latency count_macs count_parameters cut evaluate export export_onnx
from_exported make_plan mask_program read_program recalibrate retrain select write_program
""".split()


def test_the_surface_is_what_it_was() -> None:
    assert sorted(engine.__all__) == sorted(SURFACE)


def test_type_checkers_see_the_names_that_are_imported() -> None:
    tree = ast.parse(Path(inspect.getfile(engine)).read_text())
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("secateur")
        for alias in node.names
    }
    assert sorted(seen) == sorted(engine.__all__)
    for name, module in seen.items():
        assert f"secateur.engine.{engine._MODULES[name]}" == module


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
    "certify", "compact", "evaluate", "export_onnx", "from_exported", "make_plan", "read_program",
    "retrain", "select",
}  # fmt: skip


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'prunne'"):
        engine.prunne  # noqa: B018
