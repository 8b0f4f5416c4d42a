"""Example images of a data set, as pixels.

A job's process decodes the images of a stranger's file, so what it reports is untrusted. Pixels of
a stated size cannot be anything but a picture; the API encodes them for the browser.
"""

from base64 import b64decode
from binascii import Error
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_EXAMPLES = 12
MOST_SIDE = 64
MOST_BOXES = 20
MOST_POINTS = 100
_MOST_CHARACTERS = 200
_Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Box(_Part):
    """One object in an example: its class, and its corners as shares of width and height."""

    label: str = Field(max_length=_MOST_CHARACTERS)
    x0: _Share
    y0: _Share
    x1: _Share
    y1: _Share


class Point(_Part):
    """One keypoint in an example: its name, and its place as shares of width and height."""

    label: str = Field(max_length=_MOST_CHARACTERS)
    x: _Share
    y: _Share


class Example(_Part):
    """One image, small, as the network's input shows it before normalisation."""

    label: str = Field(max_length=_MOST_CHARACTERS)
    split: Literal["train", "validation", "test"]
    height: int = Field(ge=1, le=MOST_SIDE)
    width: int = Field(ge=1, le=MOST_SIDE)
    channels: Literal[1, 3]
    pixels: str = Field(description="Rows of bytes, in Base64.")
    boxes: tuple[Box, ...] = Field(default=(), max_length=MOST_BOXES)
    points: tuple[Point, ...] = Field(default=(), max_length=MOST_POINTS)

    @model_validator(mode="after")
    def _has_its_pixels(self) -> Self:
        try:
            size = len(b64decode(self.pixels, validate=True))
        except Error as error:
            raise ValueError("the pixels are not Base64") from error
        if size != self.height * self.width * self.channels:
            raise ValueError(f"has {size} bytes of pixels, not height x width x channels")
        return self
