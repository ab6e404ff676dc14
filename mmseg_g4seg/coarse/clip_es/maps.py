"""CLIP-ES's maps: where CLIP's last block finds a class, and which patches attend to each other.

Shapes: K classes of an image, W words (the K and the background's), h w patch grid, N = h w patches, T = 1 + N tokens
(the first is the whole image's), D width, E embedding channels.

    p    = softmax(scale · cos(mean of patches, words)) over the K classes and the background's words
    M_k  = relu(sum_d mean_N(∂p_k / ∂A_d) A_d),  A the last block's ln_1, stretched to [0, 1]
    R    = ((S + Sᵀ) / 2)²,  S the mean attention of the last blocks, its columns and rows summed to 1 by turns
"""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.coarse.clip.vision import feed_forward, merge_heads, project_tokens, split_heads

ATTENTION_BLOCKS = 8
BALANCING_ROUNDS = 3


def class_maps(model: Any, pixels: Tensor, words: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Grad-CAM of the first words, and the attention among patches.

    Args:
        model: of open_clip.
        pixels: (1, 3, 16 h, 16 w) float, normalised.
        words: (W, E) float of length 1.
        count: K, how many of them.

    Returns:
        (K, h, w) float32 in [0, 1], and (N, N) float32, the mean over heads and the last blocks.
    """
    visual = model.visual
    tokens, grid = _embed(visual, pixels)
    *earlier, last = visual.transformer.resblocks
    attentions = []
    for block in earlier:
        tokens, attention = _attend(block, tokens, block.ln_1(tokens))
        attentions.append(attention)
    with torch.enable_grad():
        activations = last.ln_1(tokens).detach().requires_grad_()
        tokens, attention = _attend(last, tokens, activations)
        feature = project_tokens(visual, tokens)[0, 1:].mean(dim=0).float()
        probs = (model.logit_scale.exp() * F.normalize(feature, dim=0) @ words.T).softmax(dim=0)  # (W,)
        gradients = [torch.autograd.grad(probs[k], activations, retain_graph=True)[0] for k in range(count)]
    weights = torch.cat(gradients)[:, 1:].mean(dim=1).float()  # (K, D)
    maps = (weights @ activations[0, 1:].detach().float().T).relu().unflatten(1, grid)
    last_attentions = torch.stack([*attentions, attention.detach()][-ATTENTION_BLOCKS:])
    # twice, as the authors: gradients of a sure softmax are as small as what guards the first division
    return stretch(stretch(maps)), last_attentions.mean(dim=0)[0, 1:, 1:].float()


def _embed(visual: Any, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Tokens of the first block, (1, T, D), and the grid; positions bilinear, to the grid itself, as the authors'."""
    patches = visual.conv1(pixels)  # (1, D, h, w)
    grid = (patches.shape[-2], patches.shape[-1])
    whole, own = visual.positional_embedding[:1], visual.positional_embedding[1:]
    maps = own.unflatten(0, tuple(visual.grid_size)).permute(2, 0, 1)[None]
    resized = F.interpolate(maps, grid, mode='bilinear')[0].flatten(1).T  # (N, D)
    first = visual.class_embedding.expand(1, 1, -1).to(patches)
    tokens = torch.cat([first, patches.flatten(2).transpose(1, 2)], dim=1)  # (1, T, D)
    return visual.ln_pre(tokens + torch.cat([whole, resized]).to(tokens)), grid


def _attend(block: Any, tokens: Tensor, normalised: Tensor) -> tuple[Tensor, Tensor]:
    """A block by hand, for its attention: (1, T, D) twice -> (1, T, D), and (1, T, T), the mean over heads."""
    query, key, value = split_heads(block.attn, normalised)
    # scaled before the product, as torch's attention: the last stretch makes 5e-6 of the other order's rounding
    attention = (query * math.sqrt(1 / query.shape[-1]) @ key.transpose(-1, -2)).softmax(dim=-1)
    return feed_forward(block, tokens, merge_heads(block.attn, attention @ value)), attention.mean(dim=1)


def balanced_affinity(attention: Tensor) -> Tensor:
    """Makes attention among patches symmetric: (N, N) float, rows in [0, 1] -> (N, N)."""
    for _ in range(BALANCING_ROUNDS):
        attention = attention / attention.sum(dim=0, keepdim=True)
        attention = attention / attention.sum(dim=1, keepdim=True)
    symmetric = (attention + attention.T) / 2
    return symmetric @ symmetric


def part_boxes(scores: Tensor, threshold: float) -> Tensor:
    """The boxes of a map's connected parts, patches that touch at a corner being connected.

    Args:
        scores: (h, w) float in [0, 1].
        threshold: share of the maximum that is in a part.

    Returns:
        (h, w) bool.

    Raises:
        ImportError: if scipy is missing.
    """
    try:
        from scipy import ndimage
    except ImportError as error:
        raise ImportError('CLIP-ES needs scipy: pip install "mmseg_g4seg[seeds]"') from error
    values = (scores * 255).byte().cpu().numpy()
    parts, _ = ndimage.label(values > int(threshold * values.max()), structure=np.ones((3, 3)))
    inside = torch.zeros_like(scores, dtype=torch.bool)
    # the authors' boxes never reach the grid's last row and column; a grid of one row would have none
    bottom, right = (max(side - 1, 1) for side in scores.shape)
    for rows, columns in ndimage.find_objects(parts):
        inside[rows.start : min(rows.stop, bottom), columns.start : min(columns.stop, right)] = True
    return inside


def stretch(maps: Tensor) -> Tensor:
    """Each map from 0 to nearly 1, a flat one to 0: (K, h, w) float -> (K, h, w)."""
    raised = maps - maps.amin(dim=(1, 2), keepdim=True)
    return raised / (1e-7 + raised.amax(dim=(1, 2), keepdim=True))
