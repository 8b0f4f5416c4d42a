"""Measure the layers of a network on this device, at several widths, for Secateur.

This file is all that a device needs, besides Python 3.9, numpy, and one of onnxruntime, openvino
and ncnn. Secateur prunes to the widths that are fast in what it writes:

    secateur bench MODEL -o model.bench                  on a machine with the service's key
    python secateur_bench.py model.bench                 on the device; writes latencies.csv
    secateur push-latencies latencies.csv                then prune with selection.target
    python secateur_bench.py --confirm pruned.onnx base.onnx     on the device: was it right?

Stop it at any time; the same command goes on with what is missing.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import math
import os
import platform
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence, TextIO

import numpy as np

COLUMNS = (
    "model",  # id of the model, and of its list of layers
    "bench",
    "device",
    "runtime",
    "runtime_version",
    "num_threads",
    "batch_size",
    "precision",
    "kind",  # conv, conv_transpose, linear; network: all of it
    "groups",
    "space",
    "kernel",
    "stride",
    "padding",
    "dilation",
    "in_channels",
    "out_channels",
    "median_seconds",
    "low_seconds",  # 95 % interval of the median
    "high_seconds",
    "num_rounds",
)
# An entry of a bench file: kind, groups, sizes and `widths`, pairs of input and output channels.
Layer = dict[str, Any]
Run = Callable[[], Any]
_FEWEST_ROUNDS, _MOST_ROUNDS = 7, 101
_BURST_SECONDS = 0.002  # calls are timed together until a burst takes this long
_MOST_AT_ONCE, _MOST_BYTES = 17, 256 * 2**20  # layers that take turns, and their weights
_LOOSE = 0.2  # share of the median by which an interval may be wide
_SIZES = ("space", "kernel", "stride", "padding", "dilation")


class BenchError(Exception):
    """What is wrong, for people."""


# ONNX files of one layer: a few messages of three kinds of field, so that no package is needed.

_FLOAT, _UINT8, _INT8, _INT32 = 1, 2, 3, 6
_TYPES = {"float32": _FLOAT, "uint8": _UINT8, "int8": _INT8, "int32": _INT32}
_OPERATORS = {"conv": "Conv", "conv_transpose": "ConvTranspose", "linear": "Gemm"}
_INT, _INTS = 2, 7  # types of attributes


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004  # seven bits a byte
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, array: np.ndarray) -> bytes:
    sizes = b"".join(_field(1, size) for size in array.shape)
    kind = _field(2, _TYPES[str(array.dtype)])
    return sizes + kind + _field(8, name) + _field(9, array.tobytes())


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, _INT)
    return _field(1, name) + b"".join(_field(8, each) for each in value) + _field(20, _INTS)


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> bytes:  # noqa: ANN401
    found = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind)
    return found + b"".join(_field(5, _attribute(*each)) for each in sorted(attributes.items()))


def _value(name: str, kind: int, sizes: Sequence[int]) -> bytes:
    shape = b"".join(_field(1, _field(1, size)) for size in sizes)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


def layer_file(layer: Layer, precision: str, activation: str = "uint8") -> bytes:
    """Return an ONNX file of a layer followed by a ReLU.

    Args:
        layer: The layer, with ``batch_size``, ``in_channels`` and ``out_channels``.
        precision: fp32, or int8: quantised activations in and out, so that only the layer is timed.
        activation: Type of quantised activations: uint8 on x86, int8 on ARM.
    """
    weights, bias = np.full(_weight_sizes(layer), 0.5, np.float32), layer["out_channels"]
    attributes: dict[str, Any] = {}
    if layer["kind"] != "linear":
        attributes = {
            "group": layer["groups"],
            "strides": layer["stride"],
            "pads": (*layer["padding"], *layer["padding"]),
            "dilations": layer["dilation"],
        }
    inputs = ["x", "w", "b"]
    tensors = [("w", weights), ("b", np.zeros(bias, np.float32))]
    nodes, last, kind, sizes = [], "z", _FLOAT, input_sizes(layer)
    if precision == "int8":
        axis = 0 if layer["kind"] == "conv" else 1
        zero = np.array(0 if activation == "uint8" else -128, activation)
        scale = np.array(0.05, np.float32)
        scales = np.full(bias, 0.05, np.float32)
        tensors = [
            ("w", np.ones(weights.shape, np.int8)),
            ("b", np.zeros(bias, np.int32)),
            ("scale", scale),
            ("zero", zero),
            ("scales", scales),
            ("zeros", np.zeros(bias, np.int8)),
            ("bias_scales", scales * scale),
            ("bias_zeros", np.zeros(bias, np.int32)),
        ]
        # Integer convolutions keep channels last from layer to layer; so does this one.
        first = "xt" if layer["kind"] == "conv" else "x"
        nodes = [
            _node("DequantizeLinear", [first, "scale", "zero"], "xf"),
            _node("DequantizeLinear", ["w", "scales", "zeros"], "wf", axis=axis),
            _node("DequantizeLinear", ["b", "bias_scales", "bias_zeros"], "bf", axis=0),
        ]
        inputs, kind = ["xf", "wf", "bf"], _TYPES[activation]
    nodes += [
        _node(_OPERATORS[layer["kind"]], inputs, "y", **attributes),
        _node("Relu", ["y"], last),
    ]
    if precision == "int8":
        last = "q"
        nodes.append(_node("QuantizeLinear", ["z", "scale", "zero"], last))
        if layer["kind"] == "conv":
            rank, last = len(sizes), "qt"
            there, back = (0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)
            nodes.insert(0, _node("Transpose", ["x"], "xt", perm=there))
            nodes.append(_node("Transpose", ["q"], last, perm=back))
            sizes = tuple(sizes[axis] for axis in back)
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "layer")
    graph += b"".join(_field(5, _tensor(*each)) for each in tensors)
    graph += _field(11, _value("x", kind, sizes))
    graph += _field(12, _field(1, last) + _field(2, _field(1, _field(1, kind))))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))


def input_sizes(layer: Layer) -> tuple[int, ...]:
    """Return the shape of a layer's input."""
    if layer["kind"] == "linear":
        return (layer["batch_size"] * math.prod(layer["space"]), layer["in_channels"])
    return (layer["batch_size"], layer["in_channels"], *layer["space"])


def _weight_sizes(layer: Layer) -> tuple[int, ...]:
    num_in, num_out = layer["in_channels"], layer["out_channels"]
    if layer["kind"] == "linear":
        return (num_in, num_out)
    if layer["kind"] == "conv_transpose":
        return (num_in, num_out // layer["groups"], *layer["kernel"])
    return (num_out, num_in // layer["groups"], *layer["kernel"])


# Runtimes


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    name, precisions, suffixes = "onnxruntime", ("fp32", "int8"), (".onnx",)

    def __init__(self, num_threads: int) -> None:
        self._module, self._num_threads = _module("onnxruntime"), num_threads
        self.version = str(self._module.__version__)

    def layer(self, layer: Layer, precision: str) -> Run:
        """Return a function that runs a layer once."""
        return self._open(layer_file(layer, precision, _activation()), layer["batch_size"])

    def network(self, path: Path, batch_size: int) -> Run:
        """Return a function that runs a file once."""
        return self._open(str(path), batch_size)

    def _open(self, model: bytes | str, batch_size: int) -> Run:
        options = self._module.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._num_threads, 1
        options.log_severity_level = 3
        session = self._module.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feeds = {
            each.name: _random(
                [size if isinstance(size, int) else batch_size for size in each.shape], each.type
            )
            for each in session.get_inputs()
        }
        return lambda: session.run(None, feeds)


class OpenVino:
    """OpenVINO on the CPU; it reads ONNX files."""

    name, precisions, suffixes = "openvino", ("fp32", "int8"), (".onnx", ".xml")

    def __init__(self, num_threads: int) -> None:
        module = _module("openvino")
        self._core, self.version = module.Core(), str(module.__version__).split("-")[0]
        self._config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": num_threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }

    def layer(self, layer: Layer, precision: str) -> Run:
        """Return a function that runs a layer once."""
        return self._open(layer_file(layer, precision, _activation()), layer["batch_size"])

    def network(self, path: Path, batch_size: int) -> Run:
        """Return a function that runs a file once."""
        return self._open(str(path), batch_size)

    def _open(self, model: bytes | str, batch_size: int) -> Run:
        read = self._core.read_model(model)
        shapes = {
            each: [size.get_length() if size.is_static else batch_size for size in shape]
            for each, shape in ((each, each.get_partial_shape()) for each in read.inputs)
        }
        read.reshape(shapes)
        request = self._core.compile_model(read, "CPU", self._config).create_infer_request()
        feeds = [
            _random(shapes[each], str(each.get_element_type().to_dtype())) for each in read.inputs
        ]
        return lambda: request.infer(feeds)


class Ncnn:
    """ncnn, with convolutions and linear layers in fp32, one image a call."""

    name, precisions, suffixes = "ncnn", ("fp32",), (".param",)

    def __init__(self, num_threads: int) -> None:
        self._module, self._num_threads = _module("ncnn"), num_threads
        self.version = str(self._module.__version__)

    def layer(self, layer: Layer, precision: str) -> Run:  # noqa: ARG002  # as the others
        """Return a function that runs a layer once."""
        net = self._net()
        net.load_param_mem(_ncnn_layer(layer))
        net.load_model(self._module.DataReaderFromEmpty())
        sizes = input_sizes(layer)
        is_many = layer["kind"] == "linear" and sizes[0] > 1  # rows, as in attention
        return self._run(net, "x", "y", sizes if is_many else sizes[1:])

    def network(self, path: Path, batch_size: int) -> Run:  # noqa: ARG002  # one image a call
        """Return a function that runs a file once."""
        lines = path.read_text().splitlines()
        sizes = next((_ncnn_input(line) for line in lines if line.startswith("Input ")), None)
        if sizes is None:
            raise BenchError(f"{path} has no input with sizes: write them as 0=width 1=height 2=3")
        net = self._net()
        net.load_param(str(path))
        net.load_model(str(path.with_suffix(".bin")))
        return self._run(net, net.input_names()[0], net.output_names()[0], sizes)

    def _net(self) -> Any:  # noqa: ANN401  # an optional package
        net = self._module.Net()
        net.opt.num_threads, net.opt.use_vulkan_compute = self._num_threads, False
        return net

    def _run(self, net: Any, first: str, last: str, sizes: Sequence[int]) -> Run:  # noqa: ANN401
        array = _random(sizes, "float")

        def run() -> None:
            extractor = net.create_extractor()
            extractor.input(first, self._module.Mat(array))  # borrows the memory of `array`
            extractor.extract(last)

        return run


RUNTIMES = {each.name: each for each in (OnnxRuntime, OpenVino, Ncnn)}
Runtime = Any  # one of them


def _ncnn_layer(layer: Layer) -> str:
    if layer["batch_size"] != 1 or len(layer["kernel"]) not in {0, 2}:
        raise BenchError("ncnn computes one image a call, and no 1-d or 3-d convolutions here")
    num_weights, num_out = math.prod(_weight_sizes(layer)), layer["out_channels"]
    if layer["kind"] == "linear":
        body = f"InnerProduct layer 1 1 x y 0={num_out} 1=1 2={num_weights} 9=1"
    else:
        name = "Deconvolution" if layer["kind"] == "conv_transpose" else "Convolution"
        (height, width), (step_y, step_x) = layer["kernel"], layer["stride"]
        (gap_y, gap_x), (pad_y, pad_x) = layer["dilation"], layer["padding"]
        groups = f" 7={layer['groups']}" if layer["groups"] > 1 else ""
        body = (
            f"{name}{'DepthWise' if groups else ''} layer 1 1 x y 0={num_out} 1={width} "
            f"11={height} 2={gap_x} 12={gap_y} 3={step_x} 13={step_y} 4={pad_x} 14={pad_y} 5=1 "
            f"6={num_weights}{groups} 9=1"
        )
    return f"7767517\n2 2\nInput x 0 1 x\n{body}\n"


def _ncnn_input(line: str) -> tuple[int, ...] | None:
    values = dict(each.split("=") for each in line.split() if "=" in each)
    found = tuple(int(values[key]) for key in ("2", "1", "0") if key in values)
    return found or None


def _activation() -> str:
    return "int8" if platform.machine().lower().startswith(("arm", "aarch")) else "uint8"


def _module(name: str) -> Any:  # noqa: ANN401  # an optional package
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BenchError(f"{name} is not installed: pip install {name} ({error})") from error


def _random(sizes: Sequence[int], kind: str) -> np.ndarray:
    generator = np.random.default_rng(0)
    name = kind.replace("tensor(", "").rstrip(")")
    dtype = {"float": "float32", "float16": "float16", "double": "float64"}.get(name, name)
    if dtype.startswith("float"):
        return generator.standard_normal(sizes, dtype=np.float32).astype(dtype)
    return generator.integers(0, 2 if dtype == "bool" else 100, sizes).astype(dtype)


# Measuring


def in_turns(runs: Sequence[Run], seconds: float) -> list[tuple[float, float, float, int]]:
    """Return median, 95 % interval and rounds of each run; they take turns, forth and back.

    A slow moment of the device then meets all of them, not one width.

    Args:
        runs: What to time.
        seconds: Time for each of them.
    """
    calls = []
    for run in runs:
        run()  # the first call plans memory
        calls.append(max(1, math.ceil(_BURST_SECONDS / max(1e-7, _timed(run, 1)))))
    turn = sum(_timed(run, number) * number for run, number in zip(runs, calls))
    wanted = int(seconds * len(runs) / max(turn, 1e-7))
    num_rounds = min(_MOST_ROUNDS, max(_FEWEST_ROUNDS, wanted))
    samples: list[list[float]] = [[] for _ in runs]
    for number in range(num_rounds):
        order = range(len(runs))
        for index in order if number % 2 == 0 else reversed(order):
            samples[index].append(_timed(runs[index], calls[index]))
    return [(*median_interval(each), num_rounds) for each in samples]


def _timed(run: Run, number: int) -> float:
    started = time.perf_counter()
    for _ in range(number):
        run()
    return (time.perf_counter() - started) / number


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and the ends of its 95 % interval, two of the values (Thompson 1936)."""
    ordered, number = sorted(values), len(values)
    rank, below = 0, 1
    while rank + 1 <= (number - 1) // 2:
        below += math.comb(number, rank + 1)
        if 2 * below / 2**number > 0.05:  # noqa: PLR2004  # 95 %
            break
        rank += 1
    return statistics.median(ordered), ordered[rank], ordered[number - 1 - rank]


def ratio_interval(first: Run, second: Run, seconds: float) -> tuple[float, float, float, int]:
    """Return the median of the second's time over the first's by round, its interval, and rounds.

    Args:
        first: The run that is divided by.
        second: The other one.
        seconds: Time for each of them.
    """
    for run in (first, second):
        run()
    turn = 2 * (_timed(first, 1) + _timed(second, 1))
    num_rounds = min(_MOST_ROUNDS, max(_FEWEST_ROUNDS, int(2 * seconds / turn)))
    ratios = []
    for number in range(num_rounds):
        taken = {}
        for run in (first, second) if number % 2 == 0 else (second, first):
            run()  # the other network has emptied the caches
            taken[run] = _timed(run, 1)
        ratios.append(taken[second] / taken[first])
    return (*median_interval(ratios), num_rounds)


# Rows


def wanted_rows(bench: dict[str, Any], precisions: Sequence[str], batch: int) -> Iterator[Layer]:
    """Yield every layer of a bench at every width and precision."""
    for precision in precisions:
        for layer in bench["layers"]:
            for num_in, num_out in layer["widths"]:
                groups = num_in if layer["groups"] == "depthwise" else layer["groups"]
                sizes = {"in_channels": num_in, "out_channels": num_out, "groups": groups}
                yield {**layer, **sizes, "batch_size": batch, "precision": precision}


def row_of(layer: Layer) -> dict[str, str]:
    """Return the columns that say which layer a row is about."""
    found = {name: "x".join(map(str, layer[name])) for name in _SIZES}
    names = ("kind", "groups", "in_channels", "out_channels", "batch_size", "precision")
    return {**found, **{name: str(layer[name]) for name in names}}


def batches(rows: Sequence[Layer]) -> Iterator[list[Layer]]:
    """Yield neighbouring rows that take turns: not too many, and not too large."""
    batch: list[Layer] = []
    num_bytes = 0
    for row in rows:
        size = 4 * (math.prod(_weight_sizes(row)) + math.prod(input_sizes(row)))
        if batch and (len(batch) >= _MOST_AT_ONCE or num_bytes + size > _MOST_BYTES):
            yield batch
            batch, num_bytes = [], 0
        batch.append(row)
        num_bytes += size
    if batch:
        yield batch


class Output:
    """The CSV file: rows that are there already, and a place for new ones."""

    def __init__(self, path: Path, about: dict[str, str]) -> None:
        self._path, self._about = path, about
        self.done = set()
        self.num_loose = 0  # rows whose interval is wide
        if path.exists():
            data, header = path.read_bytes(), ",".join(COLUMNS).encode()
            if not data.startswith(header) and not header.startswith(data):
                raise BenchError(f"{path} is another file: write elsewhere with --out")
            whole, _, torn = data.rpartition(b"\n")
            if torn:  # it was stopped within a row
                path.write_bytes(whole + b"\n" if whole else b"")
            with path.open(newline="", encoding="utf-8") as file:
                self.done = {self._known(row) for row in csv.DictReader(file)}

    def _known(self, row: dict[str, str]) -> tuple[str, ...]:
        for name, value in self._about.items():
            if row.get(name) != value:
                raise BenchError(
                    f"{self._path} has {name} {row.get(name)!r}, and this is {value!r}: "
                    "write to another file with --out"
                )
        return self.key(row)

    @staticmethod
    def key(row: dict[str, str]) -> tuple[str, ...]:
        """Return which layer a row is about."""
        names = ("precision", "kind", "groups", *_SIZES, "in_channels", "out_channels")
        return tuple(row.get(name, "") for name in names)

    def add(
        self, file: TextIO, row: dict[str, str], found: tuple[float, float, float, int]
    ) -> None:
        """Write a measured row."""
        median, low, high, num_rounds = found
        self.num_loose += high - low > _LOOSE * median
        times = (f"{median:.9g}", f"{low:.9g}", f"{high:.9g}", str(num_rounds))
        full = {**dict.fromkeys(COLUMNS, ""), **self._about, **row}
        csv.writer(file, lineterminator="\n").writerow(
            [full[name] for name in COLUMNS[:-4]] + list(times)
        )
        file.flush()

    def open(self) -> TextIO:
        """Return the file, open at its end; a new one has a header."""
        is_new = not self._path.exists() or not self._path.stat().st_size
        file = self._path.open("a", newline="", encoding="utf-8")
        if is_new:
            csv.writer(file, lineterminator="\n").writerow(COLUMNS)
        return file


def measure(bench: dict[str, Any], runtime: Runtime, options: argparse.Namespace) -> None:
    """Measure what the output file lacks, and write it row by row."""
    about = {
        "model": str(bench["model"]),
        "bench": str(bench["id"]),
        "device": options.device_name,
        "runtime": runtime.name,
        "runtime_version": runtime.version,
        "num_threads": str(options.threads),
        "batch_size": str(options.batch_size),
    }
    output = Output(options.out, about)
    precisions = ["fp32", *(["int8"] if options.precision == "int8" else [])]
    every = list(wanted_rows(bench, precisions, options.batch_size))
    left = [row for row in every if output.key(row_of(row)) not in output.done]
    networks = {"fp32": options.network, "int8": options.network_int8}
    print(
        f"{len(every)} rows, {len(every) - len(left)} of them measured already, with "
        f"{runtime.name} {runtime.version} and {options.threads} threads on {options.device_name}"
    )
    with output.open() as file:
        for precision, path in networks.items():
            row = {"kind": "network", "precision": precision}
            if path is None or output.key(row) in output.done:
                continue
            [found] = in_turns([_network(runtime, path, options.batch_size)], 2.0)
            output.add(file, row, found)
            print(f"the whole network in {precision}: {found[0] * 1e3:.2f} ms")
        began, num_done = time.monotonic(), 0
        for batch in batches(left):
            runs = [_layer(runtime, row) for row in batch]
            for row, found in zip(batch, in_turns(runs, options.seconds)):
                output.add(file, row_of(row), found)
            num_done += len(batch)
            seconds = (time.monotonic() - began) / num_done * (len(left) - num_done)
            print(f"{num_done} of {len(left)} rows, about {_words(seconds)} left", flush=True)
    if output.num_loose:
        print(
            f"{output.num_loose} rows vary by more than {_LOOSE:.0%}: the device does other work, "
            "or slows down as it gets hot. Better repeat that at rest, with more --seconds."
        )
    print(f"Done. Upload it: secateur push-latencies {shlex.quote(str(options.out))}")
    for precision in precisions:
        row = {"kind": "network", "precision": precision}
        if networks[precision] is None and output.key(row) not in output.done:
            flag = "--network" if precision == "fp32" else "--network-int8"
            print(
                f"Only layers were measured in {precision}. Better predictions: the same again, "
                f"with {flag} FILE."
            )


def confirm(runtime: Runtime, options: argparse.Namespace) -> None:
    """Measure two whole networks side by side and print how fast the first one is."""
    pruned, base = options.confirm
    runs = [_network(runtime, path, options.batch_size) for path in (base, pruned)]
    seconds = max(2.0, options.seconds)
    for path, found in zip((base, pruned), in_turns(runs, seconds)):
        median, low, high, _ = found
        print(f"{path.name}: {median * 1e3:.3f} ms ({low * 1e3:.3f} to {high * 1e3:.3f})")
    ratio, low, high, num_rounds = ratio_interval(runs[0], runs[1], seconds)
    print(
        f"{pruned.name} takes {ratio:.3f} of the latency of {base.name} ({low:.3f} to {high:.3f}, "
        f"{num_rounds} rounds): {1 / ratio:.2f} times as fast"
    )


def _layer(runtime: Runtime, row: Layer) -> Run:
    what = f"a {row['kind']} from {row['in_channels']} to {row['out_channels']} channels"
    return _tried(runtime, f"{what} in {row['precision']}", runtime.layer, row, row["precision"])


def _network(runtime: Runtime, path: Path, batch_size: int) -> Run:
    return _tried(runtime, f"{path} with {batch_size} samples", runtime.network, path, batch_size)


def _tried(runtime: Runtime, what: str, make: Callable[..., Run], *inputs: Any) -> Run:  # noqa: ANN401
    """Return what has run once; a failure becomes a sentence."""
    try:
        run = make(*inputs)
        run()
    except BenchError:
        raise
    except Exception as error:  # runtimes have no common kind of error
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise BenchError(f"{runtime.name} cannot run {what}: {reason}") from error
    return run


def read_bench(path: Path) -> dict[str, Any]:
    """Return the layers to measure."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        is_right = found["version"] == 1 and found["layers"] and found["id"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path} is not a bench file ({error}): secateur bench MODEL") from error
    if not is_right:
        raise BenchError(f"{path} is of another version: take the service's own secateur_bench.py")
    return {"model": "", **found}


def _check_file(path: Path, suffixes: Sequence[str]) -> None:
    if not path.is_file() or path.suffix not in suffixes:
        raise BenchError(f"{path} is not a {' or '.join(suffixes)} file")


def device_name() -> str:
    """Return the name of the board or the processor."""
    for path, key in (("/proc/device-tree/model", ""), ("/proc/cpuinfo", "model name")):
        try:
            text = Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        lines = [line for line in text.replace("\0", "").splitlines() if line.startswith(key)]
        if lines:
            return lines[0].rpartition(":")[2].strip()[:100] or platform.machine()
    return (platform.processor() or platform.machine())[:100]


def _words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"  # noqa: PLR2004


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("bench", nargs="?", type=Path, help="what `secateur bench` wrote")
    add("--confirm", nargs=2, type=Path, metavar=("PRUNED", "BASE"), help="compare two networks")
    add("--out", type=Path, default=Path("latencies.csv"), help="default: latencies.csv")
    add("--runtime", choices=list(RUNTIMES), default="onnxruntime")
    add("--precision", choices=["fp32", "int8"], default="fp32", help="int8: measure both")
    add("--threads", type=int, default=os.cpu_count() or 1, help="default: one per core")
    add("--batch-size", type=int, default=1, help="samples a call; default: 1")
    add("--seconds", type=float, default=0.1, help="time for each width; default: 0.1")
    add("--network", type=Path, help="the whole dense network, to measure it as well")
    add("--network-int8", type=Path, help="its int8 file, as `secateur-engine quantize` writes it")
    add("--device-name", default=device_name(), help="default: %(default)s")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.bench is None) == (options.confirm is None):
        parser.error("give a bench file, or --confirm PRUNED BASE")
    if options.threads < 1 or options.batch_size < 1 or not 0 < options.seconds <= 60:  # noqa: PLR2004
        parser.error("--threads and --batch-size are at least 1, --seconds is above 0, at most 60")
    if options.network_int8 is not None and options.precision != "int8":
        parser.error("--network-int8 needs --precision int8")
    kind = RUNTIMES[options.runtime]
    if options.precision not in kind.precisions:
        parser.error(f"{kind.name} is measured in {' and '.join(kind.precisions)} only")
    given = (options.network, options.network_int8, *(options.confirm or ()))
    files = [path for path in given if path is not None]
    try:
        for path in files:
            _check_file(path, kind.suffixes)
        runtime = kind(options.threads)
        if options.confirm is not None:
            confirm(runtime, options)
        else:
            measure(read_bench(options.bench), runtime, options)
    except BenchError as error:
        print(f"secateur-bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
