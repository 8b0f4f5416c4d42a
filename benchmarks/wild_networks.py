"""Networks that users bring from other packages, built as those packages call them.

Small configurations with random weights. A network whose package is missing raises ImportError;
none of the packages is a dependency of Secateur. The last ones are idioms written by hand.
"""

# ruff: noqa: D102, PLC0415  # forward needs no text, and every package is optional

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Build = Callable[[], nn.Module]


def _ultralytics(name: str) -> Build:
    def build() -> nn.Module:
        tasks = importlib.import_module("ultralytics.nn.tasks")
        kind = tasks.PoseModel if "pose" in name else tasks.DetectionModel
        model: nn.Module = kind(f"{name}.yaml", verbose=False)
        return model

    return build


def _transformers(model: str, config: str, **options: Any) -> Build:  # noqa: ANN401
    def build() -> nn.Module:
        library = importlib.import_module("transformers")
        found: nn.Module = getattr(library, model)(getattr(library, config)(**options))
        return found

    return build


def _built(module: str, name: str, *args: Any, **options: Any) -> Build:  # noqa: ANN401
    def build() -> nn.Module:
        found: nn.Module = getattr(importlib.import_module(module), name)(*args, **options)
        return found

    return build


class Recogniser(nn.Module):
    """CRNN: convolutions and a bidirectional LSTM along the width."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(1, 32), nn.MaxPool2d(2), *_block(32, 64), nn.MaxPool2d((4, 2))
        )
        self.rnn = nn.LSTM(256, 96, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(192, 37)

    def forward(self, x: Tensor) -> Tensor:
        columns = self.features(x).permute(0, 3, 1, 2).flatten(2)
        letters: Tensor = self.head(self.rnn(columns)[0])
        return letters


class SpectralNet(nn.Module):
    """Discriminator with spectral normalisation."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128)
        self.layers = nn.ModuleList(
            parametrizations.spectral_norm(nn.Conv2d(a, b, 3, 2, 1))
            for a, b in itertools.pairwise(widths)
        )
        self.head = nn.Linear(128, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        score: Tensor = self.head(x.sum((2, 3)))
        return score


class WeightNormNet(nn.Module):
    """Temporal convolutions with weight normalisation."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 32, 48, 64)
        self.layers = nn.ModuleList(
            parametrizations.weight_norm(nn.Conv1d(a, b, 3, padding=2 * 2**n, dilation=2**n))
            for n, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        y: Tensor = self.head(x[..., -1])
        return y


class UnpoolNet(nn.Module):
    """SegNet: upsampling with the positions of the pooled values."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.mid = nn.Sequential(*_block(3, 32)), nn.Sequential(*_block(32, 32))
        self.up, self.head = nn.Sequential(*_block(32, 32)), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        values, places = F.max_pool2d(self.down(x), 2, return_indices=True)
        y: Tensor = self.head(self.up(F.max_unpool2d(self.mid(values), places, [2, 2])))
        return y


class ConvLSTM(nn.Module):
    """Convolutional LSTM whose states start as zeros."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.gates, self.head = (
            nn.Conv2d(3 + width, 4 * width, 3, padding=1),
            nn.Conv2d(width, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], self.width, *x.shape[3:])
        memory = x.new_zeros(x.shape[0], self.width, *x.shape[3:])
        for frame in x.unbind(1):
            i, f, o, g = self.gates(torch.cat([frame, state], 1)).chunk(4, 1)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(memory)
        y: Tensor = self.head(state)
        return y


class DeformNet(nn.Module):
    """Deformable convolution of torchvision."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.ops import DeformConv2d

        self.stem, self.offset = nn.Sequential(*_block(3, 32)), nn.Conv2d(32, 18, 3, padding=1)
        self.deform, self.head = DeformConv2d(32, 64, 3, padding=1), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        z: Tensor = self.head(torch.relu(self.deform(y, self.offset(y))).mean((2, 3)))
        return z


class Detector(nn.Module):
    """Head with a stored stride, decoded by writing into slices."""

    strides: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Sequential(*_block(3, 32)), nn.Conv2d(32, 64, 3, 2, 1)
        self.head = nn.Conv2d(64, 9, 1)
        self.register_buffer("strides", torch.tensor([2.0, 4.0]))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.head(torch.relu(self.deep(self.stem(x)))).flatten(2).sigmoid()
        boxes = y[:, :4].clone()
        boxes[:, :2] = boxes[:, :2] * self.strides[0].item()
        boxes[:, 2:] = boxes[:, 2:] ** 2 * self.strides[1].item()
        return {"boxes": boxes, "scores": y[:, 4:]}


def _block(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()


_IMAGE = (3, 64, 64)
_VOLUME = (1, 32, 32, 32)
_SMALL = {"hidden_sizes": [32, 64, 96, 128], "depths": [1, 1, 1, 1]}
# Builder and shape of one sample.
NETWORKS: dict[str, tuple[Build, tuple[int, ...]]] = {
    **{
        name: (_ultralytics(name), _IMAGE)
        for name in ("yolov5nu", "yolov8n", "yolov8n-pose", "yolov10n", "yolo11n", "yolo11n-pose")
    },
    "hf_resnet": (_transformers("ResNetForImageClassification", "ResNetConfig"), _IMAGE),
    "hf_regnet": (_transformers("RegNetForImageClassification", "RegNetConfig", **_SMALL), _IMAGE),
    "hf_convnextv2": (
        _transformers("ConvNextV2ForImageClassification", "ConvNextV2Config", **_SMALL),
        _IMAGE,
    ),
    "hf_bit": (_transformers("BitForImageClassification", "BitConfig"), _IMAGE),
    "hf_segformer": (_transformers("SegformerForSemanticSegmentation", "SegformerConfig"), _IMAGE),
    "hf_mobilenet_v2": (
        _transformers("MobileNetV2ForImageClassification", "MobileNetV2Config"),
        _IMAGE,
    ),
    "hf_efficientnet": (
        _transformers("EfficientNetForImageClassification", "EfficientNetConfig"),
        _IMAGE,
    ),
    "hf_vit": (
        _transformers(
            "ViTForImageClassification",
            "ViTConfig",
            hidden_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=192,
            image_size=64,
        ),
        _IMAGE,
    ),
    "hf_textnet": (_transformers("TextNetForImageClassification", "TextNetConfig"), _IMAGE),
    "hf_hifigan": (
        _transformers("SpeechT5HifiGan", "SpeechT5HifiGanConfig", upsample_initial_channel=64),
        (20, 80),
    ),
    "monai_unet3d": (
        _built(
            "monai.networks.nets",
            "UNet",
            spatial_dims=3,
            in_channels=1,
            out_channels=2,
            channels=(16, 32, 64),
            strides=(2, 2),
            num_res_units=1,
        ),
        _VOLUME,
    ),
    "monai_vnet": (_built("monai.networks.nets", "VNet", dropout_prob_down=None), _VOLUME),
    "monai_dynunet": (
        _built(
            "monai.networks.nets",
            "DynUNet",
            spatial_dims=3,
            in_channels=1,
            out_channels=2,
            kernel_size=[3, 3, 3],
            strides=[1, 2, 2],
            upsample_kernel_size=[2, 2],
        ),
        _VOLUME,
    ),
    "face_inceptionresnet": (
        _built("facenet_pytorch", "InceptionResnetV1", num_classes=10, classify=True),
        (3, 80, 80),
    ),
    "face_onet": (_built("facenet_pytorch.models.mtcnn", "ONet", pretrained=False), (3, 48, 48)),
    "smp_fpn_resnet18": (
        _built("segmentation_models_pytorch", "FPN", "resnet18", encoder_weights=None),
        _IMAGE,
    ),
    "smp_segformer_mit_b0": (
        _built("segmentation_models_pytorch", "Segformer", "mit_b0", encoder_weights=None),
        _IMAGE,
    ),
    "openunmix": (
        _built("openunmix.model", "OpenUnmix", nb_bins=129, hidden_size=64),
        (2, 129, 40),
    ),
    "kornia_xfeat": (_built("kornia.feature.xfeat", "XFeatModel"), (3, 64, 64)),
    "kornia_disk": (_built("kornia.feature.disk._unets", "Unet", in_features=3), _IMAGE),
    "tv_r3d": (_built("torchvision.models.video", "r3d_18", weights=None), (3, 8, 32, 32)),
    "tv_lraspp": (
        _built(
            "torchvision.models.segmentation",
            "lraspp_mobilenet_v3_large",
            weights=None,
            weights_backbone=None,
        ),
        _IMAGE,
    ),
    "pm_dpn68": (_built("pretrainedmodels", "dpn68", pretrained=None), (3, 224, 224)),
    "hand_recogniser": (Recogniser, (1, 32, 100)),
    "hand_spectral_norm": (SpectralNet, (3, 32, 32)),
    "hand_weight_norm": (WeightNormNet, (8, 64)),
    "hand_unpool": (UnpoolNet, (3, 32, 32)),
    "hand_conv_lstm": (ConvLSTM, (4, 3, 32, 32)),
    "hand_deformable": (DeformNet, (3, 32, 32)),
    "hand_detector": (Detector, (3, 32, 32)),
}
