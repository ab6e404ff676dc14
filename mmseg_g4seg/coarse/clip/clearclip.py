"""ClearCLIP (ECCV 2024, arXiv 2407.12442): what the last residual adds is noise, so it goes.

Shapes: B images, h w patch grid, d head dimension.
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.registry import register

from .base import ClipMethod, LastAttention


@register
class ClearCLIP(ClipMethod):
    """softmax(q qᵀ / √d) v, without residual and feed-forward network."""

    name = 'clearclip'
    keeps_block: ClassVar[bool] = False
    image_scale: ClassVar[tuple[int, int]] = (2048, 448)
    window: ClassVar[tuple[int, int] | None] = (448, 224)
    logit_scale: ClassVar[float] = 50.0

    def attend(self, layer: LastAttention) -> Tensor:
        gathered = F.scaled_dot_product_attention(layer.query[:, :, 1:], layer.query, layer.value)
        return gathered.unflatten(2, layer.grid)  # (B, heads, h, w, d)
