"""ResNet-20 for small images (He et al. 2016, arXiv:1512.03385, section 4.2)."""

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from torch import nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution if the shape changes."""

    def __init__(self, num_inputs: int, num_outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_inputs, num_outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_outputs)
        self.conv2 = nn.Conv2d(num_outputs, num_outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or num_inputs != num_outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(num_inputs, num_outputs, 1, stride, bias=False),
                nn.BatchNorm2d(num_outputs),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, num_outputs, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet20(nn.Module):
    """Three stages of three blocks with ``width``, 2 ``width`` and 4 ``width`` channels."""

    def __init__(self, width: int = 16, num_inputs: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_inputs, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        blocks: list[nn.Module] = []
        num_channels = width
        for stage in range(3):
            for index in range(3):
                num_outputs = width << stage
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Block(num_channels, num_outputs, stride))
                num_channels = num_outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(num_channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, num_inputs, H, W) to logits (N, num_classes)."""
        y = self.blocks(F.relu(self.bn(self.conv(x))))
        logits: torch.Tensor = self.fc(y.mean((2, 3)))
        return logits
