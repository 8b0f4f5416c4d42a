"""Random changes of a batch of images, drawn from generators that the caller seeds.

Crops and mirrors draw for every image and are written here, since a loop over images would cost
more than the network. The rest is torchvision.transforms.v2, which draws once a batch and from
torch's global generator; the training loop seeds that too.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.retrain.options import AugmentOptions

_NUM_IMAGE_DIMS = 4
_COLOR_CHANNELS = (1, 3)

Transform = Callable[[Tensor], Tensor]


class Augmentation:
    """The changes that some options ask for."""

    def __init__(self, options: AugmentOptions) -> None:
        """Build the transforms once.

        Raises:
            DataError: Brightness or contrast of inputs that are no normalised pixels.
        """
        self._options = options
        self._on_input, self._on_pixels = _transforms(options)
        if self._on_pixels and options.pixel_range is None:
            raise DataError(
                "augment.brightness and augment.contrast need images of bytes; these are numbers"
            )
        if options.pixel_range is not None:
            mean, std = options.pixel_range
            self._mean, self._std = (torch.tensor(v).view(1, -1, 1, 1) for v in (mean, std))

    def __call__(self, x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
        """Return the batch, changed at random.

        Raises:
            DataError: Something is asked for and the inputs are not images.
        """
        options = self._options
        if not (options.crop or options.flip or self._on_input or self._on_pixels):
            return x_NCHW
        if x_NCHW.ndim != _NUM_IMAGE_DIMS:
            raise DataError(f"augment needs images (N, C, H, W), not {tuple(x_NCHW.shape)}")
        if options.crop:
            x_NCHW = _crop(x_NCHW, options.crop, generator)
        if options.flip:
            is_mirrored = torch.rand(len(x_NCHW), generator=generator) < 0.5  # noqa: PLR2004
            mask = is_mirrored.to(x_NCHW.device)[:, None, None, None]
            x_NCHW = torch.where(mask, x_NCHW.flip(3), x_NCHW)
        if self._on_pixels:
            x_NCHW = self._change_pixels(x_NCHW)
        for transform in self._on_input:
            x_NCHW = transform(x_NCHW)
        return x_NCHW

    def _change_pixels(self, x_NCHW: Tensor) -> Tensor:
        if x_NCHW.shape[1] not in _COLOR_CHANNELS:
            raise DataError(f"brightness needs 1 or 3 channels, not {x_NCHW.shape[1]}")
        mean, std = self._mean.to(x_NCHW.device), self._std.to(x_NCHW.device)
        pixels = (x_NCHW * std + mean).clamp(0, 1)  # rounding may leave the range by a hair
        for transform in self._on_pixels:
            pixels = transform(pixels)
        return (pixels - mean) / std


def _transforms(options: AugmentOptions) -> tuple[Sequence[Transform], Sequence[Transform]]:
    """Return what changes network inputs, and what changes pixels in [0, 1]."""
    if not any(
        (options.rotate, options.scale, options.erase, options.brightness, options.contrast)
    ):
        return (), ()
    from torchvision.transforms import v2  # noqa: PLC0415  # slow to import, and rarely asked for

    on_input: list[Transform] = []
    if options.rotate or options.scale:
        zoom = (1 - options.scale, 1 + options.scale) if options.scale else None
        bilinear = v2.InterpolationMode.BILINEAR
        on_input.append(v2.RandomAffine(options.rotate, scale=zoom, interpolation=bilinear))
    if options.erase:
        on_input.append(v2.RandomErasing(options.erase))
    on_pixels: list[Transform] = []
    if options.brightness or options.contrast:
        on_pixels.append(v2.ColorJitter(options.brightness, options.contrast))
    return on_input, on_pixels


def _crop(x_NCHW: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    # The border is repeated, not zero: the engine does not know what a zero means after the user's
    # normalisation, while the edge of a picture is always a likely colour.
    num, _, height, width = x_NCHW.shape
    padded = F.pad(x_NCHW, (pixels,) * 4, mode="replicate")
    device = x_NCHW.device  # the draw is the CPU's, so that every device trains on the same crops
    offsets = torch.randint(0, 2 * pixels + 1, (2, num), generator=generator).to(device)
    rows = offsets[0][:, None] + torch.arange(height, device=device)
    columns = offsets[1][:, None] + torch.arange(width, device=device)
    sample = torch.arange(num, device=device)[:, None, None]
    # The advanced indices frame a slice, so their dimensions come first: (N, H, W, C). Seen as
    # (N, C, H, W) that is channels_last, which is what the convolutions want.
    cropped_NHWC = padded[sample, :, rows[:, :, None], columns[:, None, :]]
    return cropped_NHWC.permute(0, 3, 1, 2)
