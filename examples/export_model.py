"""Export the trained ResNet-20 to ``model.pt2``, as a user exports their own network.

Usage: python -m examples.export_model [model.pt2] [--fallback]
"""

import argparse
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.export import Dim

from examples.resnet20 import ResNet20
from examples.train_resnet20 import weights_path


def export_resnet20(data_name: str, path: Path) -> None:
    """Write the dense network trained on ``data_name`` as a ``.pt2`` file."""
    model = ResNet20()
    model.load_state_dict(load_file(weights_path(data_name)))
    example = torch.randn(2, 1, 28, 28)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        batch = {0: Dim("batch", min=1)}
        exported = torch.export.export(model.eval(), (example,), dynamic_shapes=(batch,))
        torch.export.save(exported, path)


def main() -> None:
    """Export to the given path."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=Path("model.pt2"))
    parser.add_argument(
        "--fallback", action="store_true", help="export the network trained on MNIST-5k"
    )
    options = parser.parse_args()
    export_resnet20("MNIST, 5,000 images" if options.fallback else "Fashion-MNIST", options.path)
    print(f"wrote {options.path} ({options.path.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
