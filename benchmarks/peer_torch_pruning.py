"""Torch-Pruning on one network in its own process: the peer of `benchmarks.coverage`.

Usage: python -m benchmarks.peer_torch_pruning SOURCE NAME. Prints one JSON line. Besides the
module, the peer is given one hint: layers as wide as the number of classes are not pruned.
"""

import argparse
import copy
import json
import statistics
import time
import warnings
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from benchmarks.networks import build, image_size

RUNS = 3
LONG_SECONDS = 20.0  # slower networks run once
NUM_CLASSES = (1000, 21)


def main() -> None:
    """Prune, measure and print one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("name")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    model = build(options.source, options.name)
    size = image_size(options.source, options.name)
    print(json.dumps(measure(model, torch.randn(1, 3, size, size))))


def measure(model: nn.Module, x: Tensor) -> dict[str, Any]:
    """Return the seconds to build the graph and to prune, and the remaining size."""
    with torch.no_grad():
        shape = _first(model(x)).shape
    macs, params = torch_pruning.utils.count_ops_and_params(model, x)
    builds: list[float] = []
    steps: list[float] = []
    while len(builds) < RUNS and sum(builds) + sum(steps) < LONG_SECONDS:
        subject = copy.deepcopy(model)
        started = time.perf_counter()
        pruner = torch_pruning.pruner.MagnitudePruner(
            subject,
            x,
            importance=torch_pruning.importance.MagnitudeImportance(p=1),
            pruning_ratio=0.5,
            ignored_layers=[m for m in subject.modules() if _is_classifier(m, shape[1])],
        )
        built = time.perf_counter()
        pruner.step()
        steps.append(time.perf_counter() - built)
        builds.append(built - started)
    with torch.no_grad():
        if _first(subject(x)).shape != shape:
            raise ValueError("the output changed its shape")
    left = torch_pruning.utils.count_ops_and_params(subject, x)
    return {
        "build_seconds": statistics.median(builds),
        "step_seconds": statistics.median(steps),
        "macs_left": round(left[0] / macs, 4),
        "params_left": round(left[1] / params, 4),
    }


def _first(output: Any) -> Tensor:  # noqa: ANN401  # whatever a network returns
    if isinstance(output, Tensor):
        return output
    return next(iter(output.values())) if isinstance(output, dict) else output[0]


def _is_classifier(module: nn.Module, width: int) -> bool:
    if isinstance(module, nn.Linear):
        return module.out_features == width
    return isinstance(module, nn.Conv2d) and module.out_channels == width and width in NUM_CLASSES


if __name__ == "__main__":
    main()
