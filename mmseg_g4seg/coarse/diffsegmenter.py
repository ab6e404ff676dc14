"""DiffSegmenter (arXiv 2309.02773): cross-attention of all levels, spread by self-attention of the finest.

Shapes: M layers, K tokens of a class's names, h' w' token grid of the finest level, N = h' w'. P prompts, T text
tokens, E text width.

    P = A sum over levels of w m(bilinear(C))      C: mean over layers, heads and tokens; A: self-attention; m: min-max

Its authors write "a photograph of {name}++" in Compel's notation: the name's embeddings go on from those of an empty
prompt by 1.1 twice as far. They choose the background's score on a validation set, 0.30 to 0.74.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.seeded_growth import min_max
from mmseg_g4seg.prediction import ClassName
from mmseg_g4seg.registry import NUMBER, expect_option, register

from .attention import AttentionSource, BackgroundScore
from .attention_levels import choose_levels

NAME_WEIGHT = 1.1**2
"""What Compel makes of `++`."""

LEVEL_WEIGHTS = {8: 0.3, 4: 0.5, 2: 0.1, 1: 0.1}
"""By latent cells a token; the scale does not matter, so a prior without some of these levels needs no others."""


@register
class DiffSegmenter(AttentionSource):
    """Weighs the levels, then averages over the places that a place attends to."""

    def __init__(
        self,
        prior: 'DiffusionPrior | str | Path | dict[str, Any]',
        *,
        timesteps: Sequence[int] = (100,),
        image_size: int | Sequence[int] | None = None,
        prompt_template: str = 'a photograph of {name}',
        name_weight: float | None = None,
        background_score: BackgroundScore = 0.5,
        levels: Sequence[int] | None = None,
        blocks: Sequence[int] | None = None,
        seed: int = 0,
        passes_per_batch: int | None = None,
    ) -> None:
        """Args:
            prior: see `AttentionSource`, as for all that is not said here.
            timesteps: likewise.
            image_size: likewise.
            prompt_template: likewise.
            name_weight: of a name's tokens in the prompt, see `weigh_names`; when not given Compel's of `++` in a
                U-Net, and 1 in a transformer, whose prompts have no one length.
            background_score: likewise.
            levels: likewise; each needs a weight.
            blocks: likewise.
            seed: likewise.
            passes_per_batch: likewise.

        Raises:
            ValueError: as `AttentionSource`, or if the weight is not above 0, or a transformer is to weigh names.
        """
        super().__init__(
            prior,
            timesteps=timesteps,
            image_size=image_size,
            prompt_template=prompt_template,
            background_score=background_score,
            levels=levels,
            blocks=blocks,
            seed=seed,
            passes_per_batch=passes_per_batch,
        )
        if name_weight is not None:
            expect_option('name_weight', name_weight, NUMBER, 'a number above 0', holds=lambda w: 0 < w < math.inf)
        joint = any(layer.kind == 'joint' for layer in self.cross_layers)
        if joint and name_weight not in (None, 1.0):
            raise ValueError(f'name_weight: this prior is a transformer, expected 1 or None, got {name_weight!r}')
        default = 1.0 if joint else NAME_WEIGHT
        self.name_weight = default if name_weight is None else name_weight

    def encode_prompts(self, prompts: Sequence[Sequence[ClassName]]) -> EncodedPrompts:
        encoded = super().encode_prompts(prompts)
        if self.name_weight == 1:
            return encoded
        empty = self.prior.encode_prompts([[]], '{name}')
        return encoded.with_embeds(weigh_names(encoded, empty.embeds, self.name_weight))

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


def weigh_names(prompts: EncodedPrompts, empty: Tensor, weight: float) -> Tensor:
    """Moves the embeddings of names away from those of an empty prompt, as Compel does.

    Args:
        prompts: P, of T tokens each.
        empty: (1, T', E) float, embeddings of an empty prompt; T is a multiple of T'.
        weight: 1 leaves them as they are.

    Returns:
        (P, T, E) float.
    """
    named = prompts.token_masks.amax(dim=1)[..., None]  # (P, T, 1)
    # a prompt of several parts stands in several lengths of the encoder
    blank = empty.repeat(1, prompts.embeds.shape[1] // empty.shape[1], 1)
    return prompts.embeds + (weight - 1) * named * (prompts.embeds - blank)


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
