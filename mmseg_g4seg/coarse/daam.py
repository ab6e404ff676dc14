"""DAAM (arXiv 2210.04885): cross-attention alone, averaged over layers, heads and steps.

Shapes: M maps (layers times heads), K tokens of a class's names, h w latent grid.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps
from mmseg_g4seg.registry import register

from .attention import AttentionSource
from .attention_levels import choose_levels

SKIPPED_LEVEL = 8
"""The middle block of SD 1.5, whose 8 x 8 tokens DAAM leaves out."""


@register
class DAAM(AttentionSource):
    """What SeeDiff starts from: the least that a prior's attention says."""

    # the clamp below is of each head: the mean of heads would be clamped where no head is below 0
    keep_heads = True

    def choose(
        self, layers: Sequence[AttentionLayer], levels: Sequence[int] | None
    ) -> tuple[list[AttentionLayer], list[AttentionLayer], list[int]]:
        cross = [layer for layer in layers if layer.reads_text and (levels or layer.level < SKIPPED_LEVEL)]
        chosen = choose_levels(cross, levels, 'cross-attention')
        return [layer for layer in cross if layer.level in chosen or layer.kind == 'joint'], [], chosen

    def map_of(self, maps: AttentionMaps, image_index: int, tokens: Tensor) -> Tensor:
        levels = [maps.cross(level, image_index)[:, tokens] for level in self.levels]
        return heat_maps(levels, maps.latent_grid).mean(dim=0)


def heat_maps(levels: Sequence[Tensor], grid: Sequence[int]) -> Tensor:
    """Averages the maps of all layers and heads on one grid.

    Args:
        levels: (M, K, h', w') float each.
        grid: (h, w).

    Returns:
        (K, h, w) float, at least 0.
    """
    # bicubic resizing gives less than 0 beside steep edges
    resized = [F.interpolate(maps, tuple(grid), mode='bicubic').clamp_min(0) for maps in levels]
    return torch.cat(resized).mean(dim=0)
