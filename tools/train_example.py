"""Train the network of the example and write it: ``python -m tools.train_example``.

Takes a minute on two cores. Run it again if `app/example/shapes.py` draws other images.
"""

import itertools
import sys

import torch
from torch import nn
from torch.export import Dim
from torch.nn.functional import cross_entropy

from app.example.shapes import CLASSES, NETWORK, draw
from secateur.engine.export.onnx import export_onnx
from secateur.engine.program.exported import from_exported

_EPOCHS, _BATCH_SIZE, _RATE = 10, 100, 0.004
_WIDTHS = (1, 16, 32, 32, 64)


def main() -> None:
    """Train, print the accuracy on the last tenth, and write the network."""
    torch.manual_seed(0)
    x_u8, y_np = draw()
    x, y = torch.from_numpy(x_u8).float().div(255).unsqueeze(1), torch.from_numpy(y_np)
    num_train = 9 * len(x) // 10
    net = _network()
    optimizer = torch.optim.AdamW(net.parameters(), _RATE)
    steps = _EPOCHS * num_train // _BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, steps)
    for _ in range(_EPOCHS):
        for chosen in torch.randperm(num_train).split(_BATCH_SIZE):
            optimizer.zero_grad()
            cross_entropy(net(x[chosen]), y[chosen]).backward()
            optimizer.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        right = net(x[num_train:]).argmax(1) == y[num_train:]
    sys.stdout.write(f"accuracy {right.float().mean():.4f}\n")
    batch = {0: Dim("batch", min=1)}
    exported = torch.export.export(net, (x[:2],), dynamic_shapes=(batch,))
    export_onnx(from_exported(exported), NETWORK)
    sys.stdout.write(f"wrote {NETWORK} ({NETWORK.stat().st_size:,} bytes)\n")


def _network() -> nn.Module:
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(itertools.pairwise(_WIDTHS)):
        stride = 2 if number < 2 else 1  # noqa: PLR2004  # the first two halve the image
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_WIDTHS[-1], len(CLASSES))]
    return nn.Sequential(*layers, *head)


if __name__ == "__main__":
    main()
