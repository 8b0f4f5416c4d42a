"""LiteRT, formerly TensorFlow Lite, for Android and microprocessors."""

import contextlib
import io
import warnings
from pathlib import Path

import torch

from secateur.engine.export.targets.target import Arrays, Run, Source, Target, TargetFile
from secateur.engine.program.writer import flat_module


def build(source: Source, folder: Path) -> None:
    """Convert the network, for one sample, or for its batch if that stays fixed."""
    import litert_torch  # noqa: PLC0415  # an extra

    inputs = source.program.example_inputs(source.program.batch_size or 1)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),  # its progress
        torch.no_grad(),
    ):
        warnings.simplefilter("ignore")
        converted = litert_torch.convert(flat_module(source.program), inputs)
        converted.export(str(folder / "litert.tflite"))


def load(path: str, num_threads: int) -> Run:
    """Open a LiteRT model."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    model = Interpreter(path, num_threads=num_threads)
    model.allocate_tensors()
    (signature,) = model.get_signature_list()
    runner = model.get_signature_runner(signature)

    def run(inputs: Arrays) -> Arrays:
        found = runner(**{f"args_{index}": x for index, x in enumerate(inputs)})
        return [found[f"output_{index}"] for index in range(len(found))]

    return run


LITERT = Target(
    "litert",
    "LiteRT",
    "Android and microprocessors; formerly TensorFlow Lite",
    "run_litert.py",
    (TargetFile("litert.tflite", "the pruned network for LiteRT"),),
    ("litert_torch", "ai_edge_litert"),
    build=build,
    load=load,
    packages="ai-edge-litert",
)
