"""MaskCLIP (ECCV 2022, arXiv 2112.01071): no attention at all, each patch keeps its own value.

Shapes: B images, h w patch grid, N = h w patches, d head dimension, D width, V words.

    denoised  words without a patch that gives them a probability of `prompt_denoising` are out
    smoothed  where no word has a probability of `key_smoothing`:  p_i = sum_j <k_i, k_j> p_j
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.registry import NUMBER, expect_option, register

from .base import ClipMethod, LastAttention
from .vision import merge_heads

SCALE = 100.0
"""CLIP's own factor of cosines before a softmax."""
NEVER = -100.0
"""The cosine of a word that is out."""


@register
class MaskCLIP(ClipMethod):
    """v: the last attention's value and output projections, as a convolution of one patch."""

    name = 'maskclip'
    exact_positions: ClassVar[bool] = True
    image_scale: ClassVar[tuple[int, int]] = (2048, 512)
    window: ClassVar[tuple[int, int] | None] = None
    # its authors decide by the argmax, and never by a probability: CLIP's own
    logit_scale: ClassVar[float] = SCALE

    def __init__(self, *, key_smoothing: float = 0.0, prompt_denoising: float = 0.0) -> None:
        """Args:
            key_smoothing: a patch whose best word has a lower probability takes those of patches with keys like its
                own; 0 for none.
            prompt_denoising: a word that has a lower probability in all patches of a window is left out of it; the
                paper has 0.5. 0 for none.

        Raises:
            ValueError: if one is not in [0, 1].
        """
        for name, share in (('key_smoothing', key_smoothing), ('prompt_denoising', prompt_denoising)):
            expect_option(name, share, NUMBER, 'a number in [0, 1]', holds=lambda v: 0 <= v <= 1)
        self.key_smoothing, self.prompt_denoising = key_smoothing, prompt_denoising
        self.gives_probs = key_smoothing > 0

    def attend(self, layer: LastAttention) -> Tensor:
        return layer.value[:, :, 1:].unflatten(2, layer.grid)  # (B, heads, h, w, d)

    def finish(self, cosines: Tensor, layer: LastAttention) -> Tensor:
        if self.prompt_denoising:
            surest = (cosines * SCALE).softmax(dim=1).amax(dim=(2, 3), keepdim=True)  # (B, V, 1, 1)
            cosines = cosines.masked_fill(surest < self.prompt_denoising, NEVER)
        if not self.key_smoothing:
            return cosines
        probs = (cosines * SCALE).softmax(dim=1).flatten(2)  # (B, V, N)
        keys = merge_heads(layer.attention, layer.key[:, :, 1:]).float()  # (B, N, D)
        # over the patches, as the authors' code has it, and not over a key's channels: the weights are no cosines
        keys = F.normalize(keys, dim=1)
        smoothed = probs @ (keys @ keys.transpose(1, 2))  # (B, V, N)
        unsure = probs.amax(dim=1, keepdim=True) < self.key_smoothing
        return torch.where(unsure, smoothed, probs).unflatten(2, layer.grid)
