"""``secateur_bench.py``: one file that measures layers on a device with little else."""

import ast
import csv
import itertools
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from secateur import secateur_bench
from secateur.engine.latency import LayerShape
from secateur.engine.latency.timer import layer_model

SCRIPT = Path(secateur_bench.__file__)
CONV = {
    "kind": "conv",
    "groups": 1,
    "space": [6, 5],
    "kernel": [3, 3],
    "stride": [2, 1],
    "padding": [1, 1],
    "dilation": [1, 1],
    "widths": [[8, 8], [8, 4], [4, 8]],
}
DEPTHWISE = {**CONV, "groups": "depthwise", "widths": [[8, 8], [4, 4]]}
TRANSPOSED = {**CONV, "kind": "conv_transpose", "widths": [[4, 8]]}
LINEAR = {
    "kernel": [],
    "stride": [],
    "padding": [],
    "dilation": [],
    "kind": "linear",
    "groups": 1,
    "space": [3],
    "widths": [[8, 5], [4, 5]],
}
BENCH = {
    "version": 1,
    "id": "0123456789abcdef",
    "model": "mdl_1",
    "layers": [CONV, DEPTHWISE, TRANSPOSED, LINEAR],
}
NUM_ROWS = 8
# Refuses everything that a device need not have.
BARE = """
import importlib.abc, runpy, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED:
            raise ImportError(f"{name} is not on the device")
ALLOWED = {"numpy", "onnxruntime", *sys.stdlib_module_names}
sys.meta_path.insert(0, Missing())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.bench").write_text(json.dumps(BENCH))
    return tmp_path


def measure(folder: Path, *more: str) -> int:
    fast = ("--seconds", "0.001", "--threads", "1", "--out", str(folder / "out.csv"))
    return secateur_bench.main([str(folder / "model.bench"), *fast, *more])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_script_needs_numpy_and_a_runtime_only(folder: Path) -> None:
    command = [sys.executable, "-I", "-c", BARE, str(SCRIPT), str(folder / "model.bench")]
    options = ["--seconds", "0.001", "--threads", "1", "--out", str(folder / "out.csv")]
    run = subprocess.run(command + options, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert len(rows(folder)) == NUM_ROWS
    assert "8 of 8 rows" in run.stdout
    assert "secateur push-latencies" in run.stdout


def test_the_next_command_can_be_pasted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = folder / "my board's.csv"
    assert measure(folder, "--out", str(output)) == 0
    lines = capsys.readouterr().out.splitlines()
    line = next(each for each in lines if "push-latencies" in each)
    assert shlex.split(line)[-2:] == ["push-latencies", str(output)]


def test_the_script_is_read_by_the_python_of_old_boards() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("activation", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("entry", [CONV, DEPTHWISE, TRANSPOSED, LINEAR])
def test_layers_are_written_as_the_engine_writes_them(
    entry: dict[str, Any], activation: Any
) -> None:
    precision = "fp32" if activation == "float32" else "int8"
    bench = {"layers": [entry]}
    for layer in secateur_bench.wanted_rows(bench, [precision], 2):
        names = ("space", "kernel", "stride", "padding", "dilation")
        sizes: Any = {name: tuple(layer[name]) for name in names}
        pair = layer["in_channels"], layer["out_channels"]
        shape = LayerShape(layer["kind"], 2, *pair, layer["groups"], **sizes)
        found = onnx.load_from_string(secateur_bench.layer_file(layer, precision, activation))
        assert found == layer_model(shape, activation)


def test_a_quantised_layer_runs_in_integers(tmp_path: Path) -> None:
    layer = next(secateur_bench.wanted_rows({"layers": [CONV]}, ["int8"], 1))
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(secateur_bench.layer_file(layer, "int8"), options)
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert kinds == ["QLinearConv"]


def test_a_stopped_run_goes_on_with_what_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(folder) == 0
    whole = (folder / "out.csv").read_text()
    lines = whole.splitlines(keepends=True)
    (folder / "out.csv").write_text("".join(lines[:4]) + lines[4][:20])  # killed within a row
    assert measure(folder) == 0
    assert "8 rows, 3 of them measured already" in capsys.readouterr().out
    assert (folder / "out.csv").read_text().startswith("".join(lines[:4]))
    found = [secateur_bench.Output.key(row) for row in rows(folder)]
    assert len(found) == len(set(found)) == NUM_ROWS


def test_ctrl_c_keeps_the_rows_and_says_how_to_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(secateur_bench, "_MOST_AT_ONCE", 3)
    in_turns, calls = secateur_bench.in_turns, []

    def stop_later(runs: Any, seconds: float) -> Any:
        calls.append(runs)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return in_turns(runs, seconds)

    monkeypatch.setattr(secateur_bench, "in_turns", stop_later)
    assert measure(folder) == 130
    assert len(rows(folder)) == 3
    assert "The same command goes on" in capsys.readouterr().err


def test_a_file_of_another_device_is_not_mixed_in(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(folder, "--device-name", "board A") == 0
    assert measure(folder, "--device-name", "board B") == 1
    assert "has device 'board A', and this is 'board B'" in capsys.readouterr().err


def test_another_file_is_left_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out.csv").write_bytes(b"my notes\nwithout an end")
    assert measure(folder) == 1
    assert (folder / "out.csv").read_bytes() == b"my notes\nwithout an end"
    assert "is another file" in capsys.readouterr().err


def test_a_network_that_cannot_run_is_an_error_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "base.onnx").write_bytes(b"no protobuf")
    assert measure(folder, "--network", str(folder / "base.onnx")) == 1
    said = capsys.readouterr().err
    assert "onnxruntime cannot run" in said
    assert said.count("\n") == 1


def test_both_precisions_and_the_whole_network_are_rows(folder: Path) -> None:
    network = folder / "base.onnx"
    layer = next(secateur_bench.wanted_rows({"layers": [CONV]}, ["fp32"], 1))
    network.write_bytes(secateur_bench.layer_file(layer, "fp32"))
    assert measure(folder, "--precision", "int8", "--network", str(network)) == 0
    found = rows(folder)
    assert [row["kind"] for row in found].count("network") == 1
    assert {row["precision"] for row in found} == {"fp32", "int8"}
    assert len(found) == 2 * NUM_ROWS + 1
    for row in found:
        low, median, high = (float(row[f"{n}_seconds"]) for n in ("low", "median", "high"))
        assert 0 < low <= median <= high


def test_the_whole_network_is_measured_in_int8_as_well(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = folder / "base_int8.onnx"
    layer = next(secateur_bench.wanted_rows({"layers": [CONV]}, ["int8"], 1))
    network.write_bytes(secateur_bench.layer_file(layer, "int8"))
    assert measure(folder, "--precision", "int8") == 0
    assert "with --network-int8 FILE" in capsys.readouterr().out
    assert measure(folder, "--precision", "int8", "--network-int8", str(network)) == 0
    assert "--network-int8" not in capsys.readouterr().out
    [found] = [row for row in rows(folder) if row["kind"] == "network"]
    assert found["precision"] == "int8"
    with pytest.raises(SystemExit):
        measure(folder, "--network-int8", str(network))
    assert "--network-int8 needs --precision int8" in capsys.readouterr().err


def test_layers_take_turns() -> None:
    order: list[str] = []
    secateur_bench.in_turns([lambda: order.append("a"), lambda: order.append("b")], 1e-9)
    switches = sum(before != after for before, after in itertools.pairwise(order))
    assert switches >= 7


def test_confirm_compares_two_files_in_turns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for width in (64, 8):
        entry = {**CONV, "space": [32, 32], "widths": [[64, width]]}
        layer = next(secateur_bench.wanted_rows({"layers": [entry]}, ["fp32"], 1))
        paths.append(tmp_path / f"{width}.onnx")
        paths[-1].write_bytes(secateur_bench.layer_file(layer, "fp32"))
    command = ["--confirm", str(paths[1]), str(paths[0]), "--threads", "1", "--seconds", "0.05"]
    assert secateur_bench.main(command) == 0
    text = capsys.readouterr().out
    assert "8.onnx takes 0." in text
    assert "times as fast" in text


@pytest.mark.parametrize("runtime", ["openvino", "ncnn"])
def test_other_runtimes_measure_the_same_rows(folder: Path, runtime: str) -> None:
    assert measure(folder, "--runtime", runtime) == 0
    assert len(rows(folder)) == NUM_ROWS
    assert {row["runtime"] for row in rows(folder)} == {runtime}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no json", "is not a bench file"),
        ("[]", "is not a bench file"),
        (json.dumps({**BENCH, "version": 2}), "of another version"),
    ],
)
def test_a_file_that_is_no_bench_is_refused(
    folder: Path, text: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "model.bench").write_text(text)
    assert measure(folder) == 1
    assert reason in capsys.readouterr().err


def test_a_missing_runtime_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert measure(folder, "--runtime", "openvino") == 1
    assert "pip install openvino" in capsys.readouterr().err


def test_the_interval_of_a_median_is_that_of_the_engine() -> None:
    from secateur.engine.intervals import median_interval  # noqa: PLC0415  # the reference

    for number in (1, 5, 6, 7, 30, 101):
        values = list(np.random.default_rng(number).random(number))
        middle, ends = median_interval(values)
        assert secateur_bench.median_interval(values) == (middle, *ends)
