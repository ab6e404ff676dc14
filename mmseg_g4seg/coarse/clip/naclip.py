"""NACLIP (WACV 2025, arXiv 2404.08181): patches look at their like, and at their neighbours before others.

Shapes: B images, h w patch grid, T = 1 + h w tokens, d head dimension.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.registry import register

from .base import ClipMethod, LastAttention


@register
class NACLIP(ClipMethod):
    """softmax(k kᵀ / √d + G) v, without residual and feed-forward network; G is a Gaussian of the distance."""

    name = 'naclip'
    keeps_block: ClassVar[bool] = False
    pamr_iterations: ClassVar[int] = 10

    def __init__(self, *, deviation: float = 5.0) -> None:
        """Args:
            deviation: of the Gaussian, patches.

        Raises:
            ValueError: if it is not above 0.
        """
        if not deviation > 0:
            raise ValueError(f'deviation: expected a number of patches above 0, got {deviation!r}')
        self.deviation = deviation

    def attend(self, layer: LastAttention) -> Tensor:
        nearness = neighbour_addition(layer.grid, self.deviation).to(layer.key)[1:]
        gathered = F.scaled_dot_product_attention(layer.key[:, :, 1:], layer.key, layer.value, attn_mask=nearness)
        return gathered.unflatten(2, layer.grid)  # (B, heads, h, w, d)


def neighbour_addition(grid: tuple[int, int], deviation: float) -> Tensor:
    """What is added to logits: exp(-distance² / (2 deviation²)) between patches, 0 to and from the whole image's token.

    Args:
        grid: (h, w).
        deviation: of the Gaussian, patches.

    Returns:
        (T, T) float32 in [0, 1].
    """
    rows, columns = (torch.arange(length, dtype=torch.float32) for length in grid)
    places = torch.cartesian_prod(rows, columns)  # (h w, 2)
    distances = torch.cdist(places, places, compute_mode='donot_use_mm_for_euclid_dist').square()
    return F.pad(torch.exp(-distances / (2 * deviation**2)), (1, 0, 1, 0))
