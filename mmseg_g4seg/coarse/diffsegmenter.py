"""DiffSegmenter (arXiv 2309.02773): cross-attention of all levels, spread by self-attention of the finest.

Shapes: M layers, K tokens of a class's names, h' w' token grid of the finest level, N = h' w'.

    P = A sum over levels of w m(bilinear(C))      C: mean over layers, heads and tokens; A: self-attention; m: min-max

Without the weights on words in the prompt that its authors use. They choose the background's score on a validation set,
0.30 to 0.74.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.seeded_growth import min_max
from mmseg_g4seg.registry import register

from .attention import AttentionSource, choose_levels

LEVEL_WEIGHTS = {8: 0.3, 4: 0.5, 2: 0.1, 1: 0.1}
"""By latent cells a token; the scale does not matter, so a prior without some of these levels needs no others."""


@register
class DiffSegmenter(AttentionSource):
    """Weighs the levels, then averages over the places that a place attends to."""

    def choose(
        self, layers: Sequence[AttentionLayer], levels: Sequence[int] | None
    ) -> tuple[list[AttentionLayer], list[AttentionLayer], list[int]]:
        cross = [layer for layer in layers if layer.reads_text]
        chosen = choose_levels(cross, levels, 'cross-attention')
        unknown = [level for level in chosen if level not in LEVEL_WEIGHTS]
        if unknown:
            raise ValueError(f'levels: expected some of {list(LEVEL_WEIGHTS)}, which have weights, got {unknown[0]}')
        self.finest = min(layer.level for layer in layers if layer.reads_image)
        own = [layer for layer in layers if layer.reads_image and layer.level == self.finest]
        # a transformer's coarser levels are averages of its one
        return [layer for layer in cross if layer.level in chosen or layer.kind == 'joint'], own, chosen

    def map_of(self, maps: AttentionMaps, image_index: int, tokens: Tensor) -> Tensor:
        levels = {level: maps.cross(level, image_index)[:, tokens].mean(dim=(0, 1)) for level in self.levels}
        grid = maps.grid(self.finest)
        return spread(weighted_levels(levels, grid), maps.self_attention(self.finest, image_index))


def weighted_levels(levels: dict[int, Tensor], grid: Sequence[int]) -> Tensor:
    """Sums the maps of several levels by DiffSegmenter's weights.

    Args:
        levels: (h, w) float each, by latent cells a token.
        grid: (h', w') of the result.

    Returns:
        (h', w') float, at least 0.
    """
    resized = [LEVEL_WEIGHTS[level] * min_max(resize_maps(maps, grid)) for level, maps in levels.items()]
    return torch.stack(resized).sum(dim=0)


def spread(probs: Tensor, attention: Tensor) -> Tensor:
    """Averages a map over what each place attends to: (h', w') with (N, N) attention -> (h', w')."""
    return (attention @ probs.flatten()).view_as(probs)
