"""Random crops and mirrored images, one draw a sample, from a generator that the caller seeds."""

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.engine.errors import DataError
from worker.engine.retrain.options import AugmentOptions

_NUM_IMAGE_DIMS = 4


def augment(x_NCHW: Tensor, options: AugmentOptions, generator: torch.Generator) -> Tensor:
    """Return the batch, cropped and mirrored at random.

    Raises:
        DataError: Augmentation is asked for and the inputs are not images.
    """
    if not options.crop and not options.flip:
        return x_NCHW
    if x_NCHW.ndim != _NUM_IMAGE_DIMS:
        raise DataError(f"crop and flip need images (N, C, H, W), not {tuple(x_NCHW.shape)}")
    if options.crop:
        x_NCHW = _crop(x_NCHW, options.crop, generator)
    if options.flip:
        is_mirrored = torch.rand(len(x_NCHW), generator=generator) < 0.5  # noqa: PLR2004  # half
        mask = is_mirrored.to(x_NCHW.device)[:, None, None, None]
        x_NCHW = torch.where(mask, x_NCHW.flip(3), x_NCHW)
    return x_NCHW


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
