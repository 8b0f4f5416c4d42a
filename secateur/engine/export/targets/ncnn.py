"""ncnn, for phones and boards with ARM processors; pnnx converts the ONNX file."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from secateur.engine.errors import ExportError
from secateur.engine.export.targets.target import (
    HALF_WEIGHTS,
    Arrays,
    Run,
    Source,
    Target,
    TargetFile,
)

_SECONDS = 900.0
_MOST_CHARACTERS = 300


def build(source: Source, folder: Path) -> None:
    """Convert the ONNX file, for one sample.

    Raises:
        ExportError: pnnx cannot express the network for ncnn.
    """
    import pnnx  # noqa: PLC0415  # an extra

    shapes = ",".join(str(shape).replace(" ", "") for shape in source.shapes)
    with tempfile.TemporaryDirectory(dir=folder) as home:
        work = Path(home)
        shutil.copyfile(source.onnx, work / "model.onnx")
        command = [pnnx.EXEC_PATH, "model.onnx", f"inputshape={shapes}", "fp16=1"]
        try:
            done = subprocess.run(  # noqa: S603  # our own arguments
                command, cwd=work, capture_output=True, timeout=_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ExportError(f"pnnx did not run: {error}") from error
        made = {name: work / f"model.ncnn.{name}" for name in ("param", "bin")}
        if done.returncode != 0 or not all(path.exists() for path in made.values()):
            lines = (done.stderr or done.stdout).decode(errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "no message")
            raise ExportError(f"pnnx cannot convert the network: {last[:_MOST_CHARACTERS]}")
        unknown = [line.split()[0] for line in made["param"].read_text().splitlines()[2:]]
        foreign = sorted({name for name in unknown if "." in name or name.startswith("pnnx")})
        if foreign:
            raise ExportError(f"ncnn has no layer for {', '.join(foreign)}")
        for name, path in made.items():
            shutil.move(path, folder / f"ncnn.{name}")


def load(path: str, num_threads: int) -> Run:
    """Open an ncnn model; it computes in float32, which the comparison was made with."""
    import ncnn  # noqa: PLC0415

    net = ncnn.Net()
    net.opt.num_threads = num_threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(path) or net.load_model(path.replace(".param", ".bin")):
        raise ValueError(f"ncnn cannot read {path}")

    def run(inputs: Arrays) -> Arrays:
        extractor = net.create_extractor()
        for index, x in enumerate(inputs):
            sample = np.ascontiguousarray(x[0])  # a Mat does not keep its array alive
            extractor.input(f"in{index}", ncnn.Mat(sample).clone())
        found = [extractor.extract(f"out{index}") for index in range(len(net.output_names()))]
        return [np.array(value)[None] for _, value in found]

    return run


NCNN = Target(
    "ncnn",
    "ncnn",
    "phones and boards with ARM processors",
    "run_ncnn.py",
    (
        TargetFile("ncnn.param", "the pruned network for ncnn"),
        TargetFile("ncnn.bin", "weights of ncnn.param, in float16"),
    ),
    ("ncnn", "pnnx"),
    build=build,
    load=load,
    precision="float16 weights",
    tolerance=HALF_WEIGHTS,
    packages="ncnn",
)
