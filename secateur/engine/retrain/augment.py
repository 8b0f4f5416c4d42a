"""Random augmentation of a batch of images, from generators that the caller seeds.

Crops and flips draw once per image. They are implemented here, vectorised, because a loop over
images would cost more than the network. Everything else uses torchvision.transforms.v2, which draws
once per batch from torch's global generator. The training loop seeds that generator too.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.retrain.options import AugmentOptions
from secateur.engine.samples import to_device

_NUM_IMAGE_DIMS = 4
_COLOR_CHANNELS = (1, 3)

Transform = Callable[[Tensor], Tensor]


class Augmentation:
    """Random augmentation with fixed options."""

    def __init__(self, options: AugmentOptions) -> None:
        """Build the transforms once.

        Raises:
            DataError: Brightness or contrast is set, but the inputs are not normalised pixels.
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
        """Return an augmented copy of the batch, or the batch itself if no option is set.

        Raises:
            DataError: An option is set and the inputs are not images (N, C, H, W).
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
            mask = to_device(is_mirrored, x_NCHW.device)[:, None, None, None]
            x_NCHW = torch.where(mask, x_NCHW.flip(3), x_NCHW)
        if self._on_pixels:
            x_NCHW = self._change_pixels(x_NCHW)
        for transform in self._on_input:
            x_NCHW = transform(x_NCHW)
        return x_NCHW

    def _change_pixels(self, x_NCHW: Tensor) -> Tensor:
        if x_NCHW.shape[1] not in _COLOR_CHANNELS:
            raise DataError(f"brightness needs 1 or 3 channels, not {x_NCHW.shape[1]}")
        device = x_NCHW.device
        self._mean, self._std = self._mean.to(device), self._std.to(device)  # once
        mean, std = self._mean, self._std
        pixels = (x_NCHW * std + mean).clamp(0, 1)  # rounding may step just outside the range
        for transform in self._on_pixels:
            pixels = transform(pixels)
        return (pixels - mean) / std


def _transforms(options: AugmentOptions) -> tuple[Sequence[Transform], Sequence[Transform]]:
    """Return the transforms of network inputs and the transforms of pixels in [0, 1]."""
    if not any(
        (options.rotate, options.scale, options.erase, options.brightness, options.contrast)
    ):
        return (), ()
    from torchvision.transforms import v2  # noqa: PLC0415  # slow to import, rarely needed

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
    # Replicate the border instead of padding with zeros: after the user's normalisation a zero may
    # be any colour, while the edge of the image is always a plausible one.
    num, _, height, width = x_NCHW.shape
    padded = F.pad(x_NCHW, (pixels,) * 4, mode="replicate")
    device = x_NCHW.device  # drawn on the CPU, so every device trains on the same crops
    drawn = torch.randint(0, 2 * pixels + 1, (2, num), generator=generator)
    offsets = to_device(drawn, device)
    rows = offsets[0][:, None] + torch.arange(height, device=device)
    columns = offsets[1][:, None] + torch.arange(width, device=device)
    sample = torch.arange(num, device=device)[:, None, None]
    # Advanced indices around a slice put their dimensions first: (N, H, W, C). Permuted to
    # (N, C, H, W) the result is channels_last, the layout that the convolutions prefer.
    cropped_NHWC = padded[sample, :, rows[:, :, None], columns[:, None, :]]
    return cropped_NHWC.permute(0, 3, 1, 2)
