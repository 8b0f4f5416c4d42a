"""Latencies of real files and real networks."""

from pathlib import Path

import torch

from secateur.engine.export.onnx import export_onnx
from secateur.engine.graph import analyse
from secateur.engine.latency import LatencyModel, LayerTimer
from secateur.engine.latency.timer import LayerShape
from secateur.engine.measure import compare_latency
from tests.fixtures.networks import small_program, torchvision_program


def test_a_file_compared_with_itself_has_no_speedup(tmp_path: Path) -> None:
    program = small_program()
    export_onnx(program, tmp_path / "net.onnx")
    found = compare_latency((tmp_path / "net.onnx",) * 2, program.inputs, (1,), seconds=0.1)
    [[speedup]] = found.speedups
    assert speedup.low / 1.5 < 1 < 1.5 * speedup.high, "whatever else the machine does"
    assert found.load.others is None or found.load.others >= 0


def test_every_convolution_and_linear_layer_of_a_real_network_is_timed() -> None:
    program = torchvision_program("mobilenet_v3_small", size=64)
    analysis = analyse(program)
    seen: list[LayerShape] = []

    class Recorder(LayerTimer):
        def __call__(self, shape: LayerShape) -> float:
            seen.append(shape)
            return 1.0

    LatencyModel(program, analysis, Recorder(), 1.0).seconds_by_width({})({})
    convolutions = [n for n in program.graph.nodes if "conv2d" in str(n.target)]
    linears = [n for n in program.graph.nodes if "linear" in str(n.target)]
    assert len({*seen}) > 10
    assert len(seen) >= len(convolutions) + len(linears)
    assert any(shape.groups == shape.in_channels > 1 for shape in seen)
    assert all(torch.tensor(shape.space).min() > 0 for shape in seen if shape.space)
