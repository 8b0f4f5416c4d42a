"""The snippet of a target: a small script that preprocesses a file and runs the network.

It repeats the source of the functions that the comparison ran, so that what users copy is what was
checked. Images are read as the service reads them.
"""

import inspect
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secateur.engine.export.onnx import tensor_outputs
from secateur.engine.export.targets.target import Preprocess, Source, Target

_SUPPRESSED = re.compile(r"  # (noqa|type: ignore)[^\n]*")


def read_image(path: str, size: tuple[int, int], fit: str, mode: str) -> NDArray[Any]:
    """Return the pixels of an image file (C, H, W)."""
    from PIL import Image, ImageOps  # noqa: PLC0415

    image = ImageOps.exif_transpose(Image.open(path))
    image = image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB").convert(mode)
    height, width = size
    if fit != "stretch":  # keep the ratio of the sides
        scale = min(height / image.height, width / image.width)
        height = min(size[0], max(1, round(image.height * scale)))
        width = min(size[1], max(1, round(image.width * scale)))
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    top, left = (0, 0) if fit == "pad" else ((size[0] - height) // 2, (size[1] - width) // 2)
    pixels = np.full((*size, len(mode)), 114, np.uint8)
    pixels[top : top + height, left : left + width] = np.asarray(image).reshape(height, width, -1)
    return pixels.transpose(2, 0, 1)


_READ_IMAGE = '''
{note}SIZE = {size}  # height and width
SCALE, MEAN, STD = {scale!r}, {mean}, {std}


{read_image}

def read(path):
    """Return a file as the network's input: an image, or the input itself as .npy."""
    if path.endswith(".npy"):
        return np.ascontiguousarray(np.load(path))
    x = read_image(path, SIZE, {fit!r}, {mode!r}).astype(np.float32) * np.float32(SCALE)
    mean, std = (np.array(each, np.float32).reshape(-1, 1, 1) for each in (MEAN, STD))
    return np.ascontiguousarray(((x - mean) / std)[None]{cast})
'''
_NOT_GIVEN = "# No preprocessing was given with the data: pixels are scaled to [0, 1].\n"
_READ_ARRAY = '''

def read(path):
    """Return an input of the network, preprocessed, from a .npy file."""
    return np.ascontiguousarray(np.load(path))
'''
_SNIPPET = '''\
"""Run the pruned network with {title}: python {script} {arguments} [OUTPUTS.npz]

Needs: pip install {packages}
"""

import sys
from pathlib import Path

import numpy as np

INPUTS, OUTPUTS = {inputs}, {outputs}
{read}

{load}

if __name__ == "__main__":
    run = load(str(Path(__file__).with_name({file!r})), num_threads=1)
    outputs = dict(zip(OUTPUTS, run([read(path) for path in sys.argv[1 : 1 + len(INPUTS)]])))
    for name, values in outputs.items():
        print(name, values.shape, values.ravel()[:10])
    if len(sys.argv) > 1 + len(INPUTS):
        np.savez(sys.argv[-1], **outputs)
'''


def write_snippet(target: Target, source: Source, preprocess: Preprocess | None, file: str) -> str:
    """Return a target's script.

    Args:
        target: A target that runs here.
        source: The network.
        preprocess: How images become its input; None if it takes no images.
        file: Name of the file to open, beside the script.
    """
    program = source.program
    inputs = list(program.input_names)
    names = [program.output_names[index] for index in tensor_outputs(program)]
    packages = f"{target.packages} numpy" + (" pillow" if preprocess is not None else "")
    is_image = preprocess is not None
    return _SNIPPET.format(
        title=target.title,
        script=target.script,
        arguments="IMAGE" if is_image else " ".join(f"{i + 1}.npy" for i in range(len(inputs))),
        packages=packages,
        inputs=inputs,
        outputs=names,
        read=_READ_ARRAY if preprocess is None else _read(preprocess, _input_type(target, source)),
        load=_source(target.load),
        file=file,
    )


def _input_type(target: Target, source: Source) -> str:
    spec = source.program.inputs[0]
    return str(spec.given_dtype if target.keeps_types else spec.dtype).removeprefix("torch.")


def _read(preprocess: Preprocess, dtype: str) -> str:
    return _READ_IMAGE.format(
        note="" if preprocess.is_given else _NOT_GIVEN,
        cast="" if dtype == "float32" else f".astype(np.{dtype})",
        size=preprocess.size,
        scale=preprocess.scale,
        mean=list(preprocess.mean),
        std=list(preprocess.std),
        read_image=_source(read_image),
        fit=preprocess.fit,
        mode="L" if preprocess.num_channels == 1 else "RGB",
    )


def _source(function: object) -> str:
    """Return a function's source without our annotations and linter comments."""
    text = _SUPPRESSED.sub("", inspect.getsource(function))  # type: ignore[arg-type]
    text = re.sub(r"(\w+): (?:Arrays|str|int|tuple\[int, int\])(?=[,)])", r"\1", text)
    return re.sub(r" -> [^:\n]+:\n", ":\n", text)
