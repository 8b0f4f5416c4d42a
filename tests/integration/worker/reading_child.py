"""A job's process that reads a data set whole in random order, or allocates what it is told to.

Run by `test_memory`, under the limit that `worker.launch` sets. Prints one line.
"""

import sys
from pathlib import Path

import torch

from app.contracts.spec import PreprocessSpec
from worker.pipeline.data import Dataset, open_dataset

_BATCH = 128


def num_private_bytes() -> int:
    """Return the private writable memory that this process has, as the kernel's limit counts it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmData:")[2].split()[0]) * 1024


def train(dataset: Dataset) -> int:
    """Step a linear network once for every batch of an epoch; return the samples that were right.

    A sample is right where its pixels say its number, and its label that number's rest.
    """
    weight = torch.zeros(dataset.sample_shape[-1], 4, requires_grad=True)
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))
    num_right = 0
    for indices in torch.split(order, _BATCH):
        x, y = dataset.batch(indices)
        assert y is not None
        digits = x.flatten(1)[:, :4].to(torch.int64)
        number = (digits * torch.tensor([1, 256, 256**2, 256**3])).sum(1)
        num_right += int(((number == indices) & (y == indices % 4)).sum())
        loss = torch.nn.functional.cross_entropy((x / 255).mean((1, 2)) @ weight, y)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            assert weight.grad is not None
            weight -= 0.1 * weight.grad
            weight.grad = None
    return num_right


def main(what: str, *arguments: str) -> None:
    """Do one of three things."""
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
        dataset = open_dataset(path, what, spec, scratch, image_pixels=10_000)
        sys.stdout.write(f"{dataset.summary()['num_samples']} {train(dataset)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
