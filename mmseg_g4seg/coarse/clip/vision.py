"""The way of an image through open_clip's vision transformer, its parts open to who changes the last attention.

Shapes: B images, H W image size, h w patch grid, T = 1 + h w tokens (the first is the whole image's), D width,
d head dimension, E embedding channels.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_g4seg.features.clip import pixel_statistics

GRID_OFFSET = 0.1
"""What DINO, and the CLIP segmentors after it, add to the grid that positions are resized to: it moves features by a
few per cent, so their figures need it."""


def check_vision_transformer(visual: Any) -> None:
    """Raises ValueError unless `visual` is open_clip's own transformer with a token of the whole image."""
    transformer = getattr(visual, 'transformer', None)
    blocks = list(getattr(transformer, 'resblocks', ()))
    # SigLIP's and EVA's come from timm; CoCa pools by attention, and its tokens have no words to be compared with
    fits = blocks and all(isinstance(getattr(block, 'attn', None), nn.MultiheadAttention) for block in blocks)
    if not fits or visual.attn_pool is not None or visual.pool_type != 'tok' or not visual.transformer.batch_first:
        raise ValueError(
            "model: expected one whose image encoder is open_clip's own vision transformer and reads its first token, "
            f'such as ViT-B-16-quickgelu, got {type(visual).__name__}'
        )


def normalise_pixels(visual: Any, images: Tensor) -> Tensor:
    """Brings (B, 3, H, W) float RGB in [0, 1] to the mean and deviation, and the dtype, of an image encoder."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1).to(images) for values in pixel_statistics(visual))
    return ((images - mean) / std).to(visual.conv1.weight)


def embed_patches(visual: Any, pixels: Tensor, *, exact_positions: bool = False) -> tuple[Tensor, tuple[int, int]]:
    """Makes the tokens that the first block takes.

    Args:
        visual: open_clip's image encoder.
        pixels: (B, 3, H, W), normalised; of any size of a patch at least, what is no multiple of it is cut off.
        exact_positions: see `resize_positions`.

    Returns:
        (B, T, D), and the grid (h, w).
    """
    patches = visual.conv1(pixels)  # (B, D, h, w)
    grid = (patches.shape[-2], patches.shape[-1])
    whole = visual.class_embedding.expand(len(pixels), 1, -1).to(patches)
    tokens = torch.cat([whole, patches.flatten(2).transpose(1, 2)], dim=1)  # (B, T, D)
    positions = resize_positions(visual.positional_embedding, visual.grid_size, grid, exact=exact_positions)
    return visual.ln_pre(tokens + positions.to(tokens)), grid


def resize_positions(positions: Tensor, own: tuple[int, int], grid: tuple[int, int], *, exact: bool = False) -> Tensor:
    """Resizes learned positions to another grid; those of the model's own grid stay as they are.

    Args:
        positions: (1 + h' w', D) float, the whole image's first.
        own: grid (h', w') that they were learned on.
        grid: (h, w) wanted.
        exact: resize to the grid itself; otherwise by the factor (h + 0.1) / h', as DINO does.

    Returns:
        (1 + h w, D), dtype of `positions`.
    """
    if grid == tuple(own):
        return positions
    maps = positions[1:].unflatten(0, own).permute(2, 0, 1)[None]  # (1, D, h', w')
    if exact:
        resized = F.interpolate(maps, grid, mode='bicubic')
    else:
        factors = [(wanted + GRID_OFFSET) / had for wanted, had in zip(grid, own, strict=True)]
        resized = F.interpolate(maps, scale_factor=factors, mode='bicubic')
    return torch.cat([positions[:1], resized[0].flatten(1).T])


def split_heads(attention: nn.MultiheadAttention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of an attention layer: (B, T, D) -> three of (B, heads, T, d)."""
    projected = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
    query, key, value = projected.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return query, key, value


def merge_heads(attention: nn.MultiheadAttention, attended: Tensor) -> Tensor:
    """The output projection of an attention layer: (B, heads, T, d) -> (B, T, D)."""
    return attention.out_proj(attended.transpose(1, 2).flatten(2))


def feed_forward(block: Any, tokens: Tensor, attended: Tensor) -> Tensor:
    """The rest of a block behind its attention: residual and network, (B, T, D) twice -> (B, T, D)."""
    tokens = tokens + block.ls_1(attended)
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))


def project_tokens(visual: Any, tokens: Tensor) -> Tensor:
    """What words are compared with, of every token and not of the first alone: (B, T, D) -> (B, T, E)."""
    return visual.ln_post(tokens) @ visual.proj


def patch_size(visual: Any) -> int:
    """Side of a patch, pixels; of one that is not square the multiple that both sides divide."""
    return math.lcm(*visual.patch_size)
