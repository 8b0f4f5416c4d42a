"""Networks of the int8 benchmark: their images, and how good an ONNX file is on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from benchmarks.ocr import RAPIDOCR
from benchmarks.quality import dense_program
from benchmarks.rendered_text import HEIGHT, WIDTH, lines, upside_down
from benchmarks.repair_networks import _emoji
from examples.data import TEST, TRAIN, VALIDATION, load_images
from examples.packages import CACHE, wheel
from examples.pretrained import EFFICIENTNET_MEAN, EFFICIENTNET_STD, load_efficientnet_lite0
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.quantize import Judge, Quality, Run

_SIZE = 224
_NUM_TRAIN, _NUM_JUDGED = 512, 381


@dataclass(frozen=True)
class Subject:
    """A dense network and its samples.

    Attributes:
        program: The network.
        train: Samples to repair and calibrate with.
        labels: Their classes; None without labels.
        judge: Quality on held-out samples for the search; None: agreement with the fp32 file.
        test: Quality on the samples of the result; None: agreement on ``held``.
        held: Held-out samples.
        max_drop: Promise of the search.
        has_weights: Whether the weights are trained; if not, only speed means something.
    """

    program: Program
    train: Tensor
    held: Tensor
    labels: Tensor | None = None
    judge: Judge | None = None
    test: Judge | None = None
    max_drop: float = 0.01
    has_weights: bool = True


Build = Callable[[int, int], Subject]  # from numbers of training and of judged samples


def accuracy(x: Tensor, y: Tensor) -> Judge:
    """Return a judge by the share of right classes."""

    def judge(run: Run) -> Quality:
        pairs = zip(x.split(256), y.split(256), strict=True)
        num_right = sum(int((run((part,))[0].argmax(1) == wanted).sum()) for part, wanted in pairs)
        return Quality("top1", num_right / len(y), num_right / len(y), len(y))

    return judge


def resnet20(num_train: int, num_judged: int) -> Subject:
    """Return the demo's ResNet-20, trained on Fashion-MNIST."""
    images = load_images(is_fallback_allowed=False)
    x, y = torch.from_numpy(images.normalise(images.x)), torch.from_numpy(images.y)
    split = torch.from_numpy(images.split)
    train, validation, test = (split == number for number in (TRAIN, VALIDATION, TEST))
    return Subject(
        dense_program(images),
        x[train][:num_train],
        x[validation],
        y[train][:num_train],
        accuracy(x[validation][:num_judged], y[validation][:num_judged]),
        accuracy(x[test][:num_judged], y[test][:num_judged]),
        max_drop=0.003,
    )


def efficientnet_lite0(num_train: int, num_judged: int) -> Subject:
    """Return EfficientNet-Lite0 with ImageNet's weights, on emoji, judged by agreement."""
    program = _exported(load_efficientnet_lite0(_SIZE))
    x = _emoji(_SIZE, EFFICIENTNET_MEAN, EFFICIENTNET_STD)
    return Subject(
        program, x[: min(num_train, _NUM_TRAIN)], x[-min(num_judged, _NUM_JUDGED) :], max_drop=0.05
    )


def ocr_classifier(num_train: int, num_judged: int) -> Subject:
    """Return RapidOCR's classifier of text direction, on rendered lines."""
    with wheel(RAPIDOCR) as file:
        name = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
        path = Path(file.extract(name, CACHE / "rapidocr"))
    program = read_onnx(path, shapes=((None, 3, HEIGHT, WIDTH),))
    held = [
        lines(number, seed=seed).x
        for number, seed in ((min(256, num_judged), 3), (min(512, num_judged), 2))
    ]
    for x in held:
        x[1::2] = upside_down(x[1::2])
    validation, test = (accuracy(x, torch.arange(len(x)) % 2) for x in held)
    train = lines(min(num_train, _NUM_TRAIN), seed=1).x
    train[1::2] = upside_down(train[1::2])
    return Subject(program, train, held[0], judge=validation, test=test)


def _random(name: str) -> Build:
    """Return a builder of a torchvision network with random weights: speed alone."""

    def build(num_train: int, num_judged: int) -> Subject:
        torch.manual_seed(0)
        program = _exported(torchvision.models.get_model(name))
        num_held = min(num_judged, 16)
        x = torch.randn(min(num_train, 64) + num_held, 3, _SIZE, _SIZE)
        return Subject(program, x[:-num_held], x[-num_held:], max_drop=1.0, has_weights=False)

    return build


def _exported(model: torch.nn.Module) -> Program:
    return from_exported(export(model.eval(), (torch.randn(2, 3, _SIZE, _SIZE),)))


SUBJECTS: dict[str, Build] = {
    "resnet20": resnet20,
    "ocr_classifier": ocr_classifier,
    "efficientnet_lite0": efficientnet_lite0,
    "mobilenet_v2": _random("mobilenet_v2"),
    "resnet50": _random("resnet50"),
    "vgg16_bn": _random("vgg16_bn"),
}


def batches(x: Tensor, size: int = 32) -> Sequence[tuple[Tensor]]:
    """Return samples in batches, as the engine takes them."""
    return [(part,) for part in x.split(size)]
