"""Served ONNX files: ResNet-20, dense and pruned to half of its MACs."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from examples.export_model import export_resnet20
from secateur.engine.export.onnx import export_onnx
from secateur.engine.program.reader import read_program

SHAPE = (1, 1, 28, 28)


def make_networks(folder: Path) -> dict[str, Path]:
    """Return the ONNX files by name, written by the project's exporter."""
    folder.mkdir(parents=True, exist_ok=True)
    dense, pruned = folder / "dense.onnx", folder / "pruned.onnx"
    if not (dense.exists() and pruned.exists()):
        program = folder / "dense.pt2"
        export_resnet20("Fashion-MNIST", program)
        export_onnx(read_program(program), dense)
        out = folder / "pruned"
        shutil.rmtree(out, ignore_errors=True)
        engine = str(Path(sys.executable).with_name("secateur-engine"))
        # Weights do not affect speed, so no data and no retraining are needed.
        argv = [engine, "prune", str(program), "--macs", "0.5", "--round-to", "16"]
        subprocess.run([*argv, "--out", str(out)], check=True, capture_output=True)  # noqa: S603
        shutil.copy(out / "model.onnx", pruned)
    return {"dense": dense, "pruned": pruned}


def image() -> np.ndarray:
    """Return the input of every request, rounded to six digits as JSON clients send it."""
    random = np.random.default_rng(0)
    return np.round(random.standard_normal(SHAPE), 6).astype(np.float32)


def raw_images_a_second(path: Path, seconds: float) -> float:
    """Return the images per second of ONNX Runtime alone: one image, one thread, no HTTP."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    x = {"x": image()}
    end, number = time.perf_counter() + seconds, 0
    session.run(None, x)
    started = time.perf_counter()
    while time.perf_counter() < end:
        session.run(None, x)
        number += 1
    return number / (time.perf_counter() - started)
