"""MaskCLIP (ECCV 2022, arXiv 2112.01071): no attention at all, each patch keeps its own value.

Shapes: B images, h w patch grid, d head dimension.
"""

from typing import ClassVar

from torch import Tensor

from mmseg_g4seg.registry import register

from .base import ClipMethod, LastAttention


@register
class MaskCLIP(ClipMethod):
    """v: the last attention's value and output projections, as a convolution of one patch."""

    name = 'maskclip'
    exact_positions: ClassVar[bool] = True
    image_scale: ClassVar[tuple[int, int]] = (2048, 512)
    window: ClassVar[tuple[int, int] | None] = None
    # its authors decide by the argmax, and never by a probability: CLIP's own
    logit_scale: ClassVar[float] = 100.0

    def attend(self, layer: LastAttention) -> Tensor:
        return layer.value[:, :, 1:].unflatten(2, layer.grid)  # (B, heads, h, w, d)
