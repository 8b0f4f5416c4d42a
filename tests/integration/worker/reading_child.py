"""A job's process that trains on a data set in random order, or allocates memory.

Run by `test_memory`, under the memory limit of a job's process. Prints one line.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from app.contracts.spec import PreprocessSpec
from app.sandbox.limits import ProcessLimits, apply_limits
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.retrain import RetrainOptions, TrainingData, retrain_program
from worker.pipeline.data import Dataset, open_dataset

BATCH_SIZE = 128


def num_private_bytes() -> int:
    """Return this process's private writable memory, as the kernel's limit counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmData:")[2].split()[0]) * 1024


class Checked:
    """A source that counts the samples whose pixels match their number."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self.num_right = 0

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        x, y = self._dataset.batch(indices)
        assert y is not None
        digits = x.flatten(1)[:, :4].to(torch.int64)
        number = (digits * torch.tensor([1, 256, 256**2, 256**3])).sum(1)
        self.num_right += int(((number == indices) & (y == indices % 4)).sum())
        return x / 255, y


def tiny_program() -> Program:
    net = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.append(nn.Linear(4, 4))
    return from_exported(export(net.eval(), (torch.zeros(2, 3, 64, 64),)))


def main(memory: str, what: str, *arguments: str) -> None:
    """Run one of three modes."""
    apply_limits(ProcessLimits(memory_bytes=int(memory) or None))
    program = tiny_program()  # what a job has in memory before it opens its data
    if what == "measure":
        sys.stdout.write(f"{num_private_bytes()}\n")
    elif what == "allocate":
        for allocate in (bytearray, lambda n: torch.ones(n // 4)):
            try:
                allocate(int(arguments[0]))
            except (MemoryError, RuntimeError) as error:
                sys.stdout.write(f"{type(error).__name__}\n")
    else:
        path, scratch = map(Path, arguments)
        spec = PreprocessSpec(scale=1.0)
        dataset = open_dataset(path, what, spec, scratch)
        source, everything = Checked(dataset), torch.arange(len(dataset))
        options = RetrainOptions(epochs=1, batch_size=BATCH_SIZE, precision="float32")
        retrain_program(program, TrainingData(source, everything, everything[:0]), options)
        sys.stdout.write(f"{dataset.summary()['num_samples']} {source.num_right}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
