"""Images, masks and boxes are placed in a network's input alike."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.contracts.images import ImageError, decode_image, decode_mask
from app.contracts.placement import FILL, Fit, place

SIDE = st.integers(1, 300)
FITS: list[Fit] = ["stretch", "letterbox", "pad"]


@given(SIDE, SIDE, SIDE, SIDE, st.sampled_from(FITS))
def test_boxes_come_back_where_they_were(h: int, w: int, height: int, width: int, fit: Fit) -> None:
    found = place((h, w), (height, width), fit)
    box = np.array([[0.25 * w, 0.5 * h, 0.75 * w, h]])
    inside = found.forward(box)
    assert (inside[:, :2] >= 0).all()
    assert inside[0, 2] <= width + 1e-6
    assert inside[0, 3] <= height + 1e-6
    assert found.back(inside) == pytest.approx(box)


@pytest.mark.parametrize(
    ("fit", "rows"), [("letterbox", slice(4, 12)), ("pad", slice(0, 8)), ("stretch", slice(0, 16))]
)
def test_pixels_lie_where_boxes_do(fit: Fit, rows: slice) -> None:
    out = io.BytesIO()
    Image.fromarray(np.full((10, 20), 255, np.uint8)).save(out, "PNG")
    pixels = decode_image(out.getvalue(), 1000).pixels(1, (16, 16), fit)[0]
    wanted = np.full((16, 16), FILL, np.uint8)
    wanted[rows] = 255
    assert (pixels == wanted).all()
    corners = place((10, 20), (16, 16), fit).forward(np.array([[0, 0, 20, 10]]))
    assert corners.tolist() == [[0, rows.start, 16, rows.stop]]


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "1"])
def test_masks_hold_numbers_in_any_mode(mode: str) -> None:
    values = np.array([[0, 1], [1, 0]], np.uint8)
    image = Image.fromarray(values * (255 if mode == "1" else 1))
    image = image.convert(mode) if mode != "P" else image
    if mode == "P":
        image.putpalette([9, 9, 9, 200, 0, 0])
    out = io.BytesIO()
    image.save(out, "PNG")
    found = decode_mask(out.getvalue(), 100)
    assert (found == values * (255 if mode == "1" else 1)).all()


def test_a_coloured_mask_is_refused() -> None:
    out = io.BytesIO()
    Image.new("RGB", (2, 2), (255, 0, 0)).save(out, "PNG")
    with pytest.raises(ImageError, match="colour image"):
        decode_mask(out.getvalue(), 100)


def test_a_mask_beyond_a_byte_is_refused() -> None:
    out = io.BytesIO()
    Image.fromarray(np.full((2, 2), 300, np.uint16)).save(out, "PNG")
    with pytest.raises(ImageError, match="above 255"):
        decode_mask(out.getvalue(), 100)
