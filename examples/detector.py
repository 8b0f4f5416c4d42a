"""Prune a detector with two outputs, boxes and scores, without labels.

R-Net of MTCNN (a face detector, 2 MB of PyPI's facenet-pytorch) learns again from what its dense
self answers to images: yours (a folder or a zip), or 1,906 emoji from npm. Every output counts
alike, each measured against its own variance. Afterwards both networks answer the same images, and
what is printed is how far each output still agrees.

--network onet takes O-Net, with landmarks as a third output. --network own trains a small detector
on drawn shapes first, needs nothing from anywhere, and knows the true boxes; it is also what is
taken where R-Net or the emoji cannot be had.

Needs a running service (`secateur serve` in another terminal). A minute or two on two CPU cores.
"""

import argparse
import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from examples import two_heads
from examples.following import console, download, follow, show
from examples.packages import DataUnavailableError
from examples.pictures import pack_images
from examples.pretrained import MTCNN_MEAN, MTCNN_SIZES, MTCNN_STD, load_mtcnn
from secateur import Client, Job, SecateurError
from secateur.torch import push_module

NUM_COMPARED = 64

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """A detector and what it is pruned with.

    Attributes:
        name: On the service.
        network: In evaluation mode.
        data: A file for the service.
        preprocess: What makes inputs of it.
        samples: Inputs (N, …) to compare on; some of MTCNN's have been trained on.
        outputs: What each output is, in order.
        truth: Scores the outputs against what is known, if that is.
    """

    name: str
    network: nn.Module
    data: Path
    preprocess: dict[str, Any]
    samples: NDArray[np.float32]
    outputs: tuple[str, ...]
    truth: Callable[[Arrays], str] | None = None


def main() -> None:
    """Prune the detector on the service, and print how far its outputs agree."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.detector",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", choices=["rnet", "onet", "own"], default="rnet")
    parser.add_argument("--images", type=Path, help="folder or zip of images; else emoji")
    parser.add_argument("--macs", type=float, default=0.5, help="share to keep (default 0.5)")
    parser.add_argument("--epochs", type=int, default=10, help="of retraining (default 10)")
    parser.add_argument("--steps", type=int, default=300, help="of training one's own first")
    parser.add_argument("--out", type=Path, default=Path("detector-pruned"))
    parser.add_argument("--url", help="else SECATEUR_URL, or what secateur serve runs here")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, Client(options.url) as client:
            run(client, _case(options, Path(folder)), options)
    except (DataUnavailableError, SecateurError) as error:
        raise SystemExit(f"detector: {error}") from error


def run(client: Client, case: Case, options: argparse.Namespace) -> None:
    """Upload, prune, wait, compare, and fetch the files.

    Raises:
        SecateurError: The service cannot be reached, or says no.
    """
    config = {
        "selection": {"mode": "budget", "macs": options.macs, "round_to": 4},
        "retrain": {
            "epochs": options.epochs,
            "batch_size": 64,
            "augment": {"flip": True},
            "optimizer": {"kind": "adamw", "weight_decay": 0.01},
        },
    }
    example = torch.zeros(2, *case.samples.shape[1:])
    model = push_module(client, case.network, example, name=case.name)
    data = client.push_dataset(case.data, name=f"{case.name}-images", preprocess=case.preprocess)
    job = follow(client.prune(model, data, config))
    show(job, f"{case.name}, {options.macs:.0%} of the MACs")
    compare(job, case)
    download(client, job, options.out)


def compare(job: Job, case: Case) -> None:
    """Ask the dense and the pruned network the same, and print how far each output agrees."""
    x = {"x": case.samples}
    dense, pruned = job.infer(x, variant="base"), job.infer(x)
    for name, what in zip(dense, case.outputs, strict=True):
        a, b = dense[name], pruned[name]
        error = np.linalg.norm(b - a) / np.linalg.norm(a)
        line = f"{what}: {error:.1%} away from the dense network's"
        if what == "scores":
            line += f", the same best class for {np.mean(a.argmax(1) == b.argmax(1)):.1%}"
        console.print(f"{line}, {len(a)} images", soft_wrap=True)
    if case.truth is not None:
        for which, answers in (("dense", dense), ("pruned", pruned)):
            console.print(
                f"{which}, on shapes that are known: {case.truth(answers)}", soft_wrap=True
            )


def _case(options: argparse.Namespace, folder: Path) -> Case:
    if options.network == "own":
        return _own(options.steps, folder)
    try:
        return _mtcnn(options.network, pack_images(options.images, folder))
    except DataUnavailableError as error:
        if options.images is not None or options.network != "rnet":
            raise
        console.print(f"{error}; a small detector of one's own is trained instead")
        return _own(options.steps, folder)


def _mtcnn(kind: Literal["rnet", "onet"], images: Path) -> Case:
    size = MTCNN_SIZES[kind]
    outputs = ("boxes", "scores") if kind == "rnet" else ("boxes", "landmarks", "scores")
    samples = (_read_images(images, size) - MTCNN_MEAN) / MTCNN_STD
    return Case(
        name=f"mtcnn-{kind}",
        network=load_mtcnn(kind),
        data=images,
        preprocess={
            "resize": [size, size],
            "channels": "rgb",
            "mean": [MTCNN_MEAN],
            "std": [MTCNN_STD],
        },
        samples=samples.astype(np.float32),
        outputs=outputs,
    )


def _read_images(images: Path, size: int) -> NDArray[np.float32]:
    """Return the first images of a zip, (N, 3, size, size), as numbers from 0 to 1."""
    found = []
    try:
        with zipfile.ZipFile(images) as file:
            names = [name for name in sorted(file.namelist()) if not name.endswith("/")]
            for name in names[:NUM_COMPARED]:
                image = Image.open(io.BytesIO(file.read(name))).convert("RGB")
                found.append(np.asarray(image.resize((size, size)), np.float32) / 255)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataUnavailableError(f"{images} is no zip of images: {error}") from error
    if not found:
        raise DataUnavailableError(f"{images} is empty")
    return np.stack(found).transpose(0, 3, 1, 2).astype(np.float32)


def _own(num_steps: int, folder: Path) -> Case:
    console.print(f"training a small detector for {num_steps} steps")
    network = two_heads.train(num_steps)
    pictures, _, _ = two_heads.draw(2_000, seed=1)
    np.savez_compressed(folder / "shapes.npz", x=pictures)
    unseen, boxes, classes = two_heads.draw(NUM_COMPARED, seed=2)

    def truth(outputs: Arrays) -> str:
        found, scores = outputs.values()
        right = np.mean(scores.argmax(1) == classes)
        return (
            f"{right:.1%} of classes right, boxes overlap by {two_heads.overlap(found, boxes):.1%}"
        )

    return Case(
        name="two-heads",
        network=network,
        data=folder / "shapes.npz",
        preprocess={},
        samples=two_heads.normalise(unseen).numpy(),
        outputs=("boxes", "scores"),
        truth=truth,
    )


if __name__ == "__main__":
    main()
