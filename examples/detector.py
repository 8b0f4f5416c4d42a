"""Prune a detector with two outputs, boxes and scores, without labels.

R-Net of MTCNN (a face detector, 2 MB from PyPI's facenet-pytorch) is pruned and retrained to match
the dense network's outputs on images: yours (a folder or a zip), or 1,906 emoji from npm. All
outputs have equal weight, each relative to its own variance. Afterwards both networks run on the
same images, and the script prints how far each output agrees.

--network onet uses O-Net, with landmarks as a third output. --network own first trains a small
detector on drawn shapes with known boxes and needs no downloads; it is also the fallback if R-Net
or the emoji are not available.

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
    """A detector and the data to prune it with.

    Attributes:
        name: Model name on the service.
        network: The detector in evaluation mode.
        data: Data set file to upload.
        preprocess: Preprocessing spec of the data set.
        samples: Inputs (N, …) for the comparison. For MTCNN, some of them are training images.
        outputs: Names of the outputs, in order.
        truth: Function that scores the outputs against the true boxes, if they are known.
    """

    name: str
    network: nn.Module
    data: Path
    preprocess: dict[str, Any]
    samples: NDArray[np.float32]
    outputs: tuple[str, ...]
    truth: Callable[[Arrays], str] | None = None


def main() -> None:
    """Prune the detector on the service and print how far its outputs agree."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.detector",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", choices=["rnet", "onet", "own"], default="rnet")
    parser.add_argument("--images", type=Path, help="folder or zip of images (default: emoji)")
    parser.add_argument("--macs", type=float, default=0.5, help="fraction to keep (default 0.5)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of retraining (default 10)")
    parser.add_argument("--steps", type=int, default=300, help="training steps of --network own")
    parser.add_argument("--out", type=Path, default=Path("detector-pruned"))
    parser.add_argument(
        "--url", help="service URL (default: SECATEUR_URL, or the local secateur serve)"
    )
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, Client(options.url) as client:
            client.ready()  # before minutes of preparation
            run(client, _case(options, Path(folder)), options)
    except (DataUnavailableError, SecateurError) as error:
        raise SystemExit(f"detector: {error}") from error


def run(client: Client, case: Case, options: argparse.Namespace) -> None:
    """Upload, prune, wait, compare and download the files.

    Raises:
        SecateurError: The service cannot be reached or refuses a request.
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
    """Run both networks on the same inputs and print how far each output agrees."""
    x = {"x": case.samples}
    dense, pruned = job.infer(x, variant="base"), job.infer(x)
    for name, what in zip(dense, case.outputs, strict=True):
        a, b = dense[name], pruned[name]
        error = np.linalg.norm(b - a) / np.linalg.norm(a)
        line = f"{what}: relative error {error:.1%}"
        if what == "scores":
            line += f", the same best class for {np.mean(a.argmax(1) == b.argmax(1)):.1%}"
        console.print(f"{line}, {len(a)} images", soft_wrap=True)
    if case.truth is not None:
        for which, answers in (("dense", dense), ("pruned", pruned)):
            console.print(f"{which}, against the true boxes: {case.truth(answers)}", soft_wrap=True)


def _case(options: argparse.Namespace, folder: Path) -> Case:
    if options.network == "own":
        return _own(options.steps, folder)
    try:
        return _mtcnn(options.network, pack_images(options.images, folder))
    except DataUnavailableError as error:
        if options.images is not None or options.network != "rnet":
            raise
        console.print(f"{error}; training a small detector instead")
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
    """Return the first images of a zip, (N, 3, size, size), scaled to [0, 1].

    Raises:
        DataUnavailableError: The file is not a zip of images, or it is empty.
    """
    found = []
    try:
        with zipfile.ZipFile(images) as file:
            names = [name for name in sorted(file.namelist()) if not name.endswith("/")]
            for name in names[:NUM_COMPARED]:
                image = Image.open(io.BytesIO(file.read(name))).convert("RGB")
                found.append(np.asarray(image.resize((size, size)), np.float32) / 255)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataUnavailableError(f"{images} is not a zip of images: {error}") from error
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
        overlap = two_heads.overlap(found, boxes)
        return f"{right:.1%} of classes correct, mean IoU of boxes {overlap:.1%}"

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
