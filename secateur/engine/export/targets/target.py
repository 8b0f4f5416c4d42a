"""The record of an export target: its files, how they are built, run and compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secateur.engine.program.chunks import chunked, joined
from secateur.engine.program.program import Program

Arrays = list[NDArray[Any]]
Run = Callable[[Arrays], Arrays]

# Tolerances of float32, and of weights rounded to float16: these move probabilities of PP-OCR's
# recogniser by 0.019. Wrong conversions were off by 0.09 and more.
SINGLE, HALF_WEIGHTS = 1e-3, 5e-2


@dataclass(frozen=True)
class Source:
    """What targets are built from.

    Attributes:
        program: The network, in the types that its files store.
        onnx: Its ONNX file, at the opset of the target.
        pt2: Name of its file for `torch.export.load`.
    """

    program: Program
    onnx: Path
    pt2: str = "pruned.pt2"

    @property
    def shapes(self) -> list[list[int]]:
        """Shapes of the inputs with one sample."""
        return [
            [1 if size is None else size for size in each.shape] for each in self.program.inputs
        ]


@dataclass(frozen=True)
class TargetFile:
    """One file of a target.

    Attributes:
        name: File name.
        words: Contents in reports and on the dashboard, starting in lower case.
    """

    name: str
    words: str


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes the network's input: ``(pixel * scale - mean) / std``.

    Attributes:
        size: Height and width.
        num_channels: 1 for grey images, 3 for RGB.
        fit: ``stretch``, ``letterbox`` or ``pad``.
        scale: Factor of pixels.
        mean: One value, or one per channel.
        std: Likewise.
        is_given: Whether the values are set; otherwise pixels are scaled to [0, 1].
    """

    size: tuple[int, int]
    num_channels: int
    fit: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_given: bool = True

    def per_channel(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation in units of pixels, for every channel."""
        pairs = [
            [float(f"{value / self.scale:.6g}") for value in values]
            for values in (self.mean, self.std)
        ]
        means, stds = (each * (self.num_channels // len(each)) for each in pairs)
        return means, stds


Script = Callable[[Source, Preprocess | None], str]


@dataclass(frozen=True)
class Target:
    """One runtime or device.

    A target either runs here (``load``), and is then compared and measured, or it is a script that
    builds its file where its tools are (``write_script``).

    Attributes:
        name: Name in configs, and of the extra that installs its packages.
        title: Name for people.
        words: What it is for, starting in lower case.
        script: Name of its snippet or build script.
        files: Files that it adds.
        modules: Packages that it imports.
        kept_out: Modules by which its packages report usage to their makers; they are not imported.
        opset: Newest ONNX opset that it reads; None: any.
        build: Writes its files to a folder.
        load: Opens its files in a folder with a number of threads. Its source is the snippet's, so
            it imports what it uses and nothing of ours.
        precision: How it stores and computes, for reports.
        tolerance: Share of the largest output by which it may differ from torch.
        is_batched: Whether it takes any number of samples; otherwise one.
        keeps_types: Whether its inputs have the types of the user's file.
        packages: Arguments of `pip install` for its snippet.
        reads_pt2: Whether its script reads the PT2 file instead of the ONNX file.
        write_script: Returns its build script.
    """

    name: str
    title: str
    words: str
    script: str
    files: tuple[TargetFile, ...] = ()
    modules: tuple[str, ...] = ()
    kept_out: tuple[str, ...] = ()
    opset: int | None = None
    build: Callable[[Source, Path], None] | None = None
    load: Callable[[str, int], Run] | None = None
    precision: str = "float32"
    tolerance: float = SINGLE
    is_batched: bool = False
    keeps_types: bool = False
    packages: str = ""
    reads_pt2: bool = False
    write_script: Script | None = None


def run_samples(run: Run, inputs: Sequence[NDArray[Any]], size: int | None) -> Arrays:
    """Return the outputs for a batch, ``size`` samples at a time; None: all at once."""
    if size is None:
        return run(list(inputs))
    parts = []
    for chunk in chunked([torch.from_numpy(x) for x in inputs], size):
        outputs = run([x.numpy() for x in chunk])
        parts.append([torch.from_numpy(np.asarray(value)) for value in outputs])
    return [value.numpy() for value in joined(parts, size, len(inputs[0]))]
