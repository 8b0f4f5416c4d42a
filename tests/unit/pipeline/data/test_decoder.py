"""Data sets and ``/infer`` decode every kind of image to the same pixels."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.contracts.errors import InvalidInputError, TooLargeError
from app.contracts.spec import PreprocessSpec
from app.serving.description import TensorSpec
from app.serving.images import decode_images
from secateur.engine.errors import DataError, DataTooLargeError
from tests.unit.pipeline.data.files import opened, parquet, zipped

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (12, 20, 3), np.uint8)
GREY = COLOUR[..., 0]
ALPHA = np.dstack([COLOUR, GREY])
DEEP = (GREY.astype(np.uint16) << 8) + 77


def saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def turned(orientation: int, format_: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(COLOUR), format_, exif=exif)


def portable_grey(bits: int) -> bytes:
    high = 2**bits - 1
    return b"P5 20 12 %d\n" % high + (DEEP.astype(">u2") if bits == 16 else GREY).tobytes()


BIG_ENDIAN = Image.frombytes("I;16B", (20, 12), DEEP.astype(">u2").tobytes())
RGB, L = Image.fromarray(COLOUR), Image.fromarray(GREY)
FILES: dict[str, bytes] = {
    "png": saved(RGB, "PNG"),
    "jpeg": saved(RGB, "JPEG"),
    "jpeg upside down": turned(3),
    "jpeg on its side": turned(6),
    "jpeg mirrored": turned(5),
    "png on its side": turned(8, "PNG"),
    "webp on its side": turned(6, "WEBP"),
    "tiff on its side": saved(RGB, "TIFF", tiffinfo={0x0112: 6}),
    "orientation of no meaning": turned(77),
    "grey of 16 bits": saved(Image.fromarray(DEEP), "PNG"),
    "tiff of 16 bits": saved(Image.fromarray(DEEP), "TIFF"),
    "tiff of 16 bits, big-endian": saved(BIG_ENDIAN, "TIFF"),
    "pgm": portable_grey(8),
    "pgm of 16 bits": portable_grey(16),
    "bmp": saved(RGB, "BMP"),
    "gif": saved(RGB.quantize(16), "GIF"),
    "compressed tiff": saved(RGB, "TIFF", compression="tiff_lzw"),
    "palette": saved(RGB.quantize(16), "PNG"),
    "palette with a transparent colour": saved(RGB.quantize(16), "PNG", transparency=3),
    "transparent": saved(Image.fromarray(ALPHA), "PNG"),
    "transparent grey": saved(Image.fromarray(ALPHA).convert("LA"), "PNG"),
    "print colours": saved(RGB.convert("CMYK"), "JPEG"),
    "black and white": saved(L.convert("1"), "PNG"),
    "grey jpeg": saved(L, "JPEG"),
    "two pictures of a camera": saved(RGB, "MPO", save_all=True, append_images=[L.convert("RGB")]),
}  # fmt: skip
SHAPES = [(3, 12, 20), (1, 12, 20), (3, 7, 9), (1, 30, 30)]


def served(data: bytes, shape: tuple[int | None, ...], **preprocess: Any) -> Any:
    spec = TensorSpec("x", (None, *shape))
    return decode_images([data], spec, PreprocessSpec(**preprocess), 10_000)[0]


@pytest.mark.parametrize("name", FILES)
def test_training_sees_what_serving_sees(name: str, tmp_path: Path) -> None:
    data = FILES[name]
    for channels, height, width in SHAPES:
        preprocess: dict[str, Any] = {
            "channels": "grey" if channels == 1 else "rgb",
            "resize": (height, width),
            "mean": (0.485, 0.456, 0.406)[:channels],
            "std": (0.229, 0.224, 0.225)[:channels],
        }
        expected = served(data, (channels, height, width), **preprocess)
        for file, kind in ((zipped({"a/1.jpg": data}), "zip"), (parquet(image=[data]), "parquet")):
            x, _ = opened(tmp_path, file, kind, **preprocess).first()
            assert x.numpy().tobytes() == expected.tobytes()
    sizes = {served(data, (3, None, None)).shape[2:]}
    x, _ = opened(tmp_path, zipped({"a/1.jpg": data}), "zip", channels="rgb").first()
    assert {tuple(x.shape[2:])} == sizes


def test_a_network_of_any_size_gets_images_of_its_training_size() -> None:
    assert served(FILES["png"], (3, None, None), resize=(6, 8)).shape == (1, 3, 6, 8)
    assert served(FILES["png"], (3, None, None)).shape == (1, 3, 12, 20)


def test_a_photo_is_upright_and_sixteen_bits_become_the_upper_eight() -> None:
    pixels = served(saved(Image.fromarray(COLOUR), "PNG"), (3, None, None))
    upside_down = served(turned(3, "PNG"), (3, None, None))
    assert np.array_equal(upside_down, pixels[:, :, ::-1, ::-1])
    for name in ("grey of 16 bits", "tiff of 16 bits", "tiff of 16 bits, big-endian"):
        found = served(FILES[name], (1, 12, 20)) * 255
        assert np.array_equal(found.round().astype(np.uint8)[0, 0], GREY)
    assert np.abs(served(FILES["pgm of 16 bits"], (1, 12, 20))[0, 0] * 255 - GREY).max() < 1.1


def animated(format_: str) -> bytes:
    return saved(RGB, format_, save_all=True, append_images=[L.convert("RGB")])


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a film in gif": (lambda: animated("GIF"), "is animated"),
    "a film in png": (lambda: animated("PNG"), "is animated"),
    "a film in webp": (lambda: animated("WEBP"), "is animated"),
    "pages": (lambda: animated("TIFF"), "is animated"),
    "a png cut short": (lambda: FILES["png"][:-200], "cannot be decoded"),
    "a jpeg cut short": (lambda: FILES["jpeg"][:-100], "cannot be decoded"),
    "text": (lambda: b"hello", "cannot be decoded"),
    "floats": (lambda: saved(L.convert("F"), "TIFF"), "has 32 bits per value"),
    "whole numbers of 32 bits": (lambda: saved(L.convert("I"), "TIFF"), "has 32 bits per value"),
    "a picture of too many pixels": (lambda: saved(L.resize((101, 100)), "BMP"), "101x100 pixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_training_refuses_what_serving_refuses(name: str, tmp_path: Path) -> None:
    make, words = REFUSED[name]
    data = make()
    with pytest.raises((InvalidInputError, TooLargeError), match=words) as served_error:
        served(data, (3, 12, 20))
    with pytest.raises(DataError, match=words) as trained_error:
        opened(tmp_path, zipped({"a/1.png": data}), "zip")
    is_too_large = isinstance(served_error.value, TooLargeError)
    assert is_too_large == isinstance(trained_error.value, DataTooLargeError)


def test_notes_tell_how_images_were_converted(tmp_path: Path) -> None:
    files = {"a/1.jpg": turned(6), "a/2.png": FILES["grey of 16 bits"], "b/3.png": FILES["png"]}
    opaque = np.dstack([COLOUR, np.full_like(GREY, 255)])
    files |= {"b/4.png": FILES["transparent"], "b/5.png": saved(Image.fromarray(opaque), "PNG")}
    notes = "; ".join(opened(tmp_path, zipped(files), "zip").notes)
    assert "1 image is rotated upright" in notes
    assert "1 image is reduced from 16 bits" in notes
    assert "1 image is partly transparent" in notes
    assert "different sizes; they are resized to 20x12" in notes
    given = "; ".join(opened(tmp_path, zipped(files), "zip", resize=(4, 4)).notes)
    assert "different sizes" not in given


def test_torch_and_numpy_scale_alike(tmp_path: Path) -> None:
    spec: dict[str, Any] = {"scale": 0.017, "mean": (0.3,), "std": (0.7,)}
    x, _ = opened(tmp_path, zipped({"a/1.png": FILES["png"]}), "zip", **spec).first()
    assert torch.equal(x, torch.from_numpy(served(FILES["png"], (3, 12, 20), **spec)))


def test_decoding_ends_at_the_pixels_of_all_images_and_when_it_is_stopped() -> None:
    spec, files = TensorSpec("x", (None, 1, 2, 2)), [saved(Image.new("L", (100, 100)), "PNG")] * 17
    assert decode_images(files[:16], spec, PreprocessSpec(), 10_000)[0].shape == (16, 1, 2, 2)
    with pytest.raises(TooLargeError, match="more than 160000 pixels in total"):
        decode_images(files, spec, PreprocessSpec(), 10_000)
    with pytest.raises(TooLargeError, match="takes too long"):
        decode_images(files, spec, PreprocessSpec(), 10_000, is_stopped=lambda: True)
