"""CLIP as it was trained: what all others are compared with.

Shapes: B images, h w patch grid, d head dimension.
"""

import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.registry import register

from .base import ClipMethod, LastAttention


@register
class VanillaCLIP(ClipMethod):
    """softmax(q kᵀ / √d) v: each patch looks at what the caption needs, seldom at itself."""

    name = 'vanilla'

    def attend(self, layer: LastAttention) -> Tensor:
        gathered = F.scaled_dot_product_attention(layer.query[:, :, 1:], layer.key, layer.value)
        return gathered.unflatten(2, layer.grid)  # (B, heads, h, w, d)
