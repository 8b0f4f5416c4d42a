"""ONNX Runtime reports nothing and stores nothing in the home directory."""

import subprocess
import sys
from pathlib import Path

import pytest

_OPEN_A_SESSION = """
import onnxruntime
from onnx import TensorProto, helper

x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
opset = helper.make_opsetid("", 18)
model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
onnxruntime.InferenceSession(model.SerializeToString())
"""


@pytest.mark.parametrize(
    "module", ["secateur.engine.export.session", "secateur.engine.latency.timer"]
)
def test_opening_a_session_leaves_nothing_in_the_home_directory(
    module: str, tmp_path: Path
) -> None:
    code = f"import {module}\n{_OPEN_A_SESSION}"
    environment = {"HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert [path.name for path in tmp_path.rglob("*onnxruntime*")] == []
