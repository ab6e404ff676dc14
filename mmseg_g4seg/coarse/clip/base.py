"""What a way of reading CLIP's patches says: how its last block attends, and what becomes of that.

Shapes: B images, H W image size, h w patch grid, T = 1 + h w tokens (the first is the whole image's), d head dimension,
E embedding channels, V words.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .vision import (
    embed_patches,
    feed_forward,
    merge_heads,
    normalise_pixels,
    project_tokens,
    split_heads,
)


@dataclass(frozen=True)
class LastAttention:
    """What the attention of the last block sees.

    Attributes:
        query: (B, heads, T, d) float.
        key: likewise.
        value: likewise.
        grid: (h, w).
        images: (B, 3, H, W) float RGB in [0, 1], for rules that look again.
        attention: the layer itself, for rules that need its output projection.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    grid: tuple[int, int]
    images: Tensor
    attention: nn.MultiheadAttention


class ClipMethod(ABC):
    """A rule for the last attention; its settings are those that its authors ran it with."""

    name: ClassVar[str]
    """What `ClipSegmentor` and `load_source` call it."""
    keeps_block: ClassVar[bool] = True
    """Whether residual and feed-forward network follow, as CLIP was trained; without them attention alone is left."""
    exact_positions: ClassVar[bool] = False
    """See `vision.resize_positions`."""
    image_scale: ClassVar[tuple[int, int]] = (2048, 336)
    window: ClassVar[tuple[int, int] | None] = (224, 112)
    logit_scale: ClassVar[float] = 40.0
    pamr_iterations: ClassVar[int] = 0
    gives_probs: bool = False
    """Whether `finish` makes probabilities of the cosines, which no softmax follows then."""

    def to(self, device: torch.device | str) -> 'ClipMethod':
        """Moves what has weights to a device, in place."""
        return self

    @abstractmethod
    def attend(self, layer: LastAttention) -> Tensor:
        """The rule: values gathered for each patch; -> (B, heads, h', w', d), on `layer.grid` or another."""

    def finish(self, cosines: Tensor, layer: LastAttention) -> Tensor:
        """What becomes of the cosines, (B, V, h', w') in [-1, 1]; -> likewise, or see `gives_probs`."""
        return cosines


@torch.no_grad()
def encode_patches(visual: Any, images: Tensor, method: ClipMethod) -> Tensor:
    """Encodes images as words are: (B, 3, H, W) float RGB in [0, 1] -> (B, E, h', w') float32, not of length 1."""
    return _read_patches(visual, images, method)[0]


@torch.no_grad()
def compare_patches(visual: Any, images: Tensor, words: Tensor, method: ClipMethod) -> Tensor:
    """Compares patches with words.

    Args:
        visual: open_clip's image encoder.
        images: (B, 3, H, W) float RGB in [0, 1].
        words: (V, E) float32 of length 1.
        method: how the last block attends.

    Returns:
        (B, V, h', w') float32: cosines, or what the method makes of them.
    """
    features, layer = _read_patches(visual, images, method)
    return method.finish(torch.einsum('behw,ne->bnhw', F.normalize(features, dim=1), words), layer)


def _read_patches(visual: Any, images: Tensor, method: ClipMethod) -> tuple[Tensor, LastAttention]:
    """Features (B, E, h', w') float32, and what the last attention saw, of (B, 3, H, W) images."""
    pixels = normalise_pixels(visual, images)
    tokens, grid = embed_patches(visual, pixels, exact_positions=method.exact_positions)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        tokens = block(tokens)
    query, key, value = split_heads(last.attn, last.ln_1(tokens))
    layer = LastAttention(query, key, value, grid, images, last.attn)
    attended = method.attend(layer)
    grid = (attended.shape[2], attended.shape[3])
    gathered = merge_heads(last.attn, attended.flatten(2, 3))  # (B, h' w', D)
    if method.keeps_block:
        gathered = feed_forward(last, tokens[:, 1:], gathered)
    return project_tokens(visual, gathered).transpose(1, 2).unflatten(2, grid).float(), layer
