"""ExecuTorch, PyTorch's runtime for phones; XNNPACK computes on the processor."""

import warnings
from pathlib import Path

import torch

from secateur.engine.export.targets.target import Arrays, Run, Source, Target, TargetFile
from secateur.engine.program.writer import export_fixed


def build(source: Source, folder: Path) -> None:
    """Lower the network, for one sample."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # noqa: PLC0415  # an extra
        XnnpackPartitioner,
    )
    from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        exported = export_fixed(source.program)
        lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
        (folder / "executorch.pte").write_bytes(lowered.to_executorch().buffer)


def load(path: str, num_threads: int) -> Run:  # noqa: ARG001  # it has no such option
    """Open an ExecuTorch program; it chooses its number of threads itself."""
    import torch  # noqa: PLC0415
    from executorch.runtime import Runtime  # noqa: PLC0415

    program = Runtime.get().load_program(path)
    method = program.load_method("forward")

    def run(inputs: Arrays) -> Arrays:
        return [value.numpy().copy() for value in method.execute(list(map(torch.tensor, inputs)))]

    return run


EXECUTORCH = Target(
    "executorch",
    "ExecuTorch",
    "Android and iOS with PyTorch's runtime, by XNNPACK",
    "run_executorch.py",
    (TargetFile("executorch.pte", "the pruned network for ExecuTorch"),),
    ("executorch",),
    build=build,
    load=load,
    packages="executorch",
)
