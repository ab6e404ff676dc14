"""SCLIP (ECCV 2024, arXiv 2312.01597): patches look at those that ask the same, and at those that offer the same.

Shapes: B images, h w patch grid, d head dimension.
"""

import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.registry import register

from .base import ClipMethod, LastAttention


@register
class SCLIP(ClipMethod):
    """(softmax(q qᵀ / √d) + softmax(k kᵀ / √d)) v: rows sum to 2, as its authors have it."""

    name = 'sclip'

    def attend(self, layer: LastAttention) -> Tensor:
        query, key, value = layer.query, layer.key, layer.value
        gathered = F.scaled_dot_product_attention(query[:, :, 1:], query, value)
        gathered = gathered + F.scaled_dot_product_attention(key[:, :, 1:], key, value)
        return gathered.unflatten(2, layer.grid)  # (B, heads, h, w, d)
