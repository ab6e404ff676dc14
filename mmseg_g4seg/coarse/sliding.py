"""Asks a model about windows of an image at the size that suits the model, and brings the answers to the image's grid.

Shapes: B windows, X maps (words, groups or classes), H W image size, h w a window's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.views import stride_views

WINDOWS_AT_ONCE = 16


@dataclass(frozen=True)
class Sliding:
    """How an image is shown to a model.

    Attributes:
        image_scale: the image is resized to fit into it, longer and shorter side, as mmseg's `Resize` takes it.
        window: side of a window and the stride to the next, pixels; None shows the image whole.
        patch: what sides must be multiples of.
    """

    image_scale: tuple[int, int]
    window: tuple[int, int] | None
    patch: int

    def __post_init__(self) -> None:
        scale = tuple(self.image_scale)
        if len(scale) != 2 or not scale[0] >= scale[1] >= self.patch:
            raise ValueError(
                f'image_scale: expected a longer and a shorter side of {self.patch} pixels at least, got {scale}'
            )
        if self.window is None:
            return
        window = tuple(self.window)
        fits = len(window) == 2 and window[0] > 0 and window[0] % self.patch == 0
        # a stride beyond the window would leave pixels that no window shows
        if not fits or not 0 < window[1] <= window[0]:
            raise ValueError(
                f'window: expected a side that is a multiple of {self.patch} and a stride of at most that, got {window}'
            )

    def size(self, height: int, width: int) -> tuple[int, int]:
        """What an image of H x W is resized to."""
        longer, shorter = self.image_scale
        factor = min(longer / max(height, width), shorter / min(height, width))
        rows, columns = (self._side(round(side * factor)) for side in (height, width))
        return rows, columns

    def _side(self, side: int) -> int:
        if self.window is not None and side >= self.window[0]:
            return side
        # what is no multiple would be cut off, and of an image of 7 x 2000 nothing would be left
        return max(1, round(side / self.patch)) * self.patch


def slide(image: Tensor, sliding: Sliding, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Averages what a model says of the windows of an image.

    Args:
        image: (3, H, W) float RGB in [0, 1].
        sliding: how it is shown.
        score: the model: (B, 3, h, w) float RGB in [0, 1] -> (B, X, h', w') float, on any grid.

    Returns:
        (X, H, W) float32.
    """
    size = sliding.size(image.shape[-2], image.shape[-1])
    # smoothed where it shrinks: of a photograph of 4000 pixels every twelfth would be read
    shown = F.interpolate(image[None], size, mode='bilinear', antialias=True)[0]
    side, stride = sliding.window or (max(size), max(size))
    views = stride_views(size, side, stride)
    count, total = image.new_zeros(size), None
    for start in range(0, len(views), WINDOWS_AT_ONCE):
        own = views[start : start + WINDOWS_AT_ONCE]
        for view, maps in zip(own, score(torch.stack([view.of(shown) for view in own])), strict=True):
            total = maps.new_zeros(len(maps), *size) if total is None else total
            # one after the other: of 150 words sixteen windows at once have half a gigabyte
            view.add_to(total, resize_maps(maps.float(), view.of(count).shape))
            view.add_to(count, 1.0)
    assert total is not None, 'an image has one window at least'
    return resize_maps(total.div_(count), image.shape[-2:])
