"""Answers to images in the terms of the task: boxes, masks, keypoints and texts.

A job's process told the task, so shapes are checked before anything is read.
"""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.contracts.decoding.detector import Detector
from app.contracts.decoding.heads import HEADS
from app.contracts.decoding.masks import decode_masks, is_mask_shape
from app.contracts.decoding.poses import POSE_HEADS, PoseReader
from app.contracts.decoding.texts import class_axis, decode_texts
from app.contracts.placement import Placement, place
from app.contracts.task_spec import StoredTask
from app.inference.held import HeldArray
from app.inference.servable import Servable
from app.inference.tensors import invalid
from app.serving.description import Arrays

_IMAGE_RANK = 4
_MOST_CLASSES = 256  # a mask has a byte for each pixel
_SCORE_RANK = 3
_HALF = 0.5
_STEP = 137  # degrees between the hues of two classes


@dataclass(frozen=True)
class Seen:
    """What the answer to images needs besides the outputs.

    Attributes:
        task: The task.
        names: Names of the classes, or the characters.
        size: Height and width of the network's input.
        places: Place of each image in the input.
    """

    task: StoredTask
    names: Sequence[str]
    size: tuple[int, int]
    places: Sequence[Placement]


def seen_images(servable: Servable, images: HeldArray) -> Seen | None:
    """Return what is known of a model's images; None if the model has no task."""
    if servable.task is None or len(images.shape) != _IMAGE_RANK:
        return None
    size = images.shape[2], images.shape[3]
    fit = servable.preprocess.fit or "stretch"
    places = [place(own, size, fit) for own in images.sizes]
    return Seen(servable.task, servable.class_names or (), size, places)


def task_answer(seen: Seen, outputs: Arrays) -> dict[str, Any] | None:
    """Return ``boxes``, ``masks``, ``keypoints`` or ``texts`` of each image.

    None if the outputs hold none.

    Raises:
        InvalidInputError: The outputs are not one for each image.
    """
    floats = [array for array in outputs.values() if array.dtype.kind == "f" and array.ndim]
    read = _READERS.get(seen.task.name)
    if read is None or not floats:
        return None
    if any(len(array) != len(seen.places) for array in floats):
        raise invalid("/", "the network does not return one answer for each image: send one image")
    return read(seen, [array.astype(np.float32, copy=False) for array in floats])


def _boxes(seen: Seen, outputs: list[NDArray[Any]]) -> dict[str, Any] | None:
    head, task = HEADS.get(seen.task.head or ""), seen.task
    shapes = [array.shape for array in outputs]
    if head is None or head.num_classes(shapes, seen.size) is None:
        return None
    detector = Detector(head.name, seen.size, task.score, task.overlap, task.has_background)
    answers = []
    for found, placed in zip(detector(outputs), seen.places, strict=True):
        corners = placed.back(found.corners)
        has_area = np.flatnonzero(((corners[:, 2:] - corners[:, :2]) > 0).all(axis=1))
        answers.append(
            [
                {
                    "label": _name(seen.names, int(found.classes[n])),
                    "index": int(found.classes[n]),
                    "score": float(found.scores[n]),
                    "box": [round(float(each), 2) for each in corners[n]],
                }
                for n in has_area.tolist()
            ]
        )
    return {"boxes": answers, "images": _sizes(seen)}


def _masks(seen: Seen, outputs: list[NDArray[Any]]) -> dict[str, Any] | None:
    output = outputs[0]
    if not is_mask_shape(output.shape) or not 1 <= output.shape[1] <= _MOST_CLASSES:
        return None
    found = decode_masks(output, _HALF if seen.task.is_sigmoid else 0.0)
    answers = []
    for classes, placed in zip(found, seen.places, strict=True):
        shown = classes[placed.cut(seen.size, classes.shape)]
        numbers, counts = np.unique(shown, return_counts=True)
        answers.append(
            {
                "png": base64.b64encode(_png(shown)).decode("ascii"),
                "width": shown.shape[1],
                "height": shown.shape[0],
                "classes": [
                    {
                        "label": _name(seen.names, number),
                        "index": number,
                        "share": count / shown.size,
                    }
                    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)
                ],
            }
        )
    return {"masks": answers, "images": _sizes(seen)}


def _texts(seen: Seen, outputs: list[NDArray[Any]]) -> dict[str, Any] | None:
    output, axis, names = outputs[0], seen.task.class_axis, list(seen.names)
    if output.ndim != _SCORE_RANK or not names or 0 in output.shape:
        return None
    if class_axis(output.shape, len(names) + 2) == axis:
        names.append(" ")  # PaddleOCR's networks have a space after the list
    lines = decode_texts(output, axis, seen.task.blank)
    return {"texts": [{"text": line.text(names), "score": line.score} for line in lines]}


def _keypoints(seen: Seen, outputs: list[NDArray[Any]]) -> dict[str, Any] | None:
    head, task = POSE_HEADS.get(seen.task.head or ""), seen.task
    if head is None or not head.num_points([array.shape for array in outputs], seen.size):
        return None
    reader = PoseReader(head.name, seen.size, task.score, task.overlap)
    answers = []
    for found, placed in zip(reader(outputs), seen.places, strict=True):
        boxes = placed.back(found.corners).round(2).tolist()
        answers.append(
            [
                {"score": float(score), "box": box, "points": _points(seen, points, placed)}
                for score, box, points in zip(found.scores, boxes, found.points, strict=True)
            ]
        )
    return {"keypoints": answers, "images": _sizes(seen)}


def _points(seen: Seen, points: NDArray[Any], placed: Placement) -> list[dict[str, Any]]:
    """Return those keypoints of one object (K, 3) that are sure enough."""
    places = placed.back_points(points[:, :2]).round(2).tolist()
    return [
        {"label": _name(seen.names, n), "index": n, "x": x, "y": y, "score": float(points[n, 2])}
        for n, (x, y) in enumerate(places)
        if points[n, 2] >= seen.task.score
    ]


_Reader = Callable[[Seen, list[NDArray[Any]]], dict[str, Any] | None]
_READERS: Mapping[str, _Reader] = {
    "detection": _boxes,
    "segmentation": _masks,
    "keypoints": _keypoints,
    "text_recognition": _texts,
}


def _name(names: Sequence[str], number: int) -> str:
    return names[number] if number < len(names) else str(number)


def _sizes(seen: Seen) -> list[dict[str, int]]:
    return [{"width": each.image_size[1], "height": each.image_size[0]} for each in seen.places]


def _png(classes: NDArray[np.uint8]) -> bytes:
    """Return a PNG with a palette: its values are the classes, and it looks coloured."""
    image = Image.fromarray(np.ascontiguousarray(classes)).convert("L")
    image.putpalette(_PALETTE)
    out = io.BytesIO()
    image.save(out, "PNG", transparency=0)
    return out.getvalue()


def _palette() -> list[int]:
    """Return red, green and blue of every class: hues far apart from those before."""
    colours = [(0.0, 0.0, 0.0)]
    colours += [hsv_to_rgb(n * _STEP % 360 / 360, 0.75, 0.95) for n in range(1, _MOST_CLASSES)]
    return [round(255 * value) for colour in colours for value in colour]


_PALETTE = _palette()
