"""Grows one word's mask from seeds through self-attention, from coarse to fine (SeeDiff, arXiv 2507.19808).

Shapes: L maps of a word (layers times tokens), h w grid of a level, N = h w tokens, a < b < c rows of three levels.
m is `min_max`; A_i is row i of self-attention; v = floor(255 P^2), and T is Otsu's threshold of v.

    seeds         P = m(sum_l w_l m(C_l)),  w_l = 0.01 where var(C_l) <= floor, else 1;  seeds S = {v > T}
    coarsest      g_j = sum over i in S of cos(A_i, A_j);  P = m(g)
    each finer    P' = bicubic(P);  background B = {v <= T} of P';  b_j = sum over i in B of cos(A_i, A_j)
                  P = m(m(P') (1 - m(b)))
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

FLAT_LAYER_WEIGHT = 0.01
"""Of a layer that varies too little to say where a word is."""

ROUNDING = 1e-6
"""Share of a map's largest value below which its range is rounding alone."""


def min_max(maps: Tensor) -> Tensor:
    """Stretches each map to [0, 1]; a flat one becomes 0: (..., h, w) float -> (..., h, w)."""
    low, high = torch.aminmax(maps.flatten(-2), dim=-1, keepdim=True)
    low, high = low[..., None], high[..., None]  # (..., 1, 1)
    # sums of 4096 equal cosines differ in the last digit: stretched, that digit would look like an object
    flat = high - low <= ROUNDING * torch.maximum(low.abs(), high.abs())
    return torch.where(flat, 0, (maps - low) / (high - low))


def weigh_layers(layers: Tensor, variance_floor: float) -> Tensor:
    """Stretches each map, and keeps down those that vary little.

    Args:
        layers: (L, h, w) float, head sums of one word's column.
        variance_floor: largest variance (unbiased) of a map that counts a hundredth.

    Returns:
        (L, h, w) in [0, 1].
    """
    flat = layers.flatten(1).var(dim=1) <= variance_floor
    return min_max(layers) * torch.where(flat, FLAT_LAYER_WEIGHT, 1.0)[:, None, None]


def combine_cross_attention(layers: Tensor, variance_floor: float) -> Tensor:
    """Makes one map of the cross-attention of several layers.

    Args:
        layers: (L, h, w) float, head sums of one word's column; several tokens of a word are several maps.
        variance_floor: see `weigh_layers`; SeeDiff's is 1e-4 for sums over 8 heads.

    Returns:
        (h, w) in [0, 1].
    """
    return min_max(weigh_layers(layers, variance_floor).sum(dim=0))


def otsu_threshold(values: Tensor) -> int:
    """The value that parts an image into two classes of largest variance between them (Otsu, 1979).

    Args:
        values: (h, w) int64, of any range.

    Returns:
        The last value of the lower class, the first of several that part it alike; the value of a flat image.
    """
    low = int(values.min())
    counts = torch.bincount((values - low).flatten()).double()
    moments = counts * torch.arange(len(counts), device=counts.device)
    below, moment = counts.cumsum(0)[:-1], moments.cumsum(0)[:-1]
    if not len(below):
        return low
    total = counts.sum()
    between = (total * moment - below * moments.sum()).square() / (below * (total - below))
    # empty bins tie; argmax may return any of them on a GPU
    return low + int((between == between.max()).nonzero()[0])


def otsu_seeds(probs: Tensor) -> Tensor:
    """Cells above Otsu's threshold of floor(255 P^2): (h, w) float -> (h, w) bool; none in a flat map."""
    # not clamped: bicubic resizing overshoots 1, and values cut at 255 move the threshold by up to 17
    values = (255 * probs.square()).floor().long()
    return values > otsu_threshold(values)


def grow(attention: Tensor, seeds: Tensor) -> Tensor:
    """Sums each token's cosine to the seeds.

    Args:
        attention: (N, N) float, rows of self-attention.
        seeds: (N,) bool.

    Returns:
        (N,) float32: sum over seeds i of cos(A_i, A_j), in two matrix-vector products.
    """
    attention = attention.float()
    # rows are not divided one by one: a copy of 4096 x 4096 takes 64 MB and longer than both products
    norms = torch.linalg.vector_norm(attention, dim=1).clamp_min(1e-12)
    seed_sum = (seeds.to(attention) / norms) @ attention  # (N,)
    return attention @ seed_sum / norms


def background_mask(prior: Tensor, attention: Tensor) -> Tensor:
    """Grows what a map leaves.

    Args:
        prior: (h, w) float, the coarser level's map on this level's grid; may leave [0, 1] a little.
        attention: (N, N) float.

    Returns:
        (h, w) float32 in [0, 1]: what is like the cells that are no seeds.
    """
    return min_max(grow(attention, ~otsu_seeds(prior).flatten()).view_as(prior))


def suppress_background(prior: Tensor, attention: Tensor) -> Tensor:
    """Takes the background mask off a map: (h, w) and (N, N), as `background_mask` -> (h, w) float32 in [0, 1]."""
    return min_max(min_max(prior) * (1 - background_mask(prior, attention)))


def seeded_growth(cross_layers: Tensor, self_attention: Mapping[int, Tensor], variance_floor: float) -> Tensor:
    """Grows a word's mask through all levels.

    Args:
        cross_layers: (L, a, a) float, see `combine_cross_attention`; (L, a, w) where the image is not square.
        self_attention: {a: (a^2, a^2), b: (b^2, b^2), ...} float, one a level, by the rows of its grid; its columns
            follow from the number of tokens.
        variance_floor: see `weigh_layers`.

    Returns:
        (c, c) float32 in [0, 1], of the finest level; (c, columns) where the image is not square. 0 everywhere where
        the cross-attention is flat.

    Raises:
        ValueError: if a level's self-attention does not fit its grid, or the cross-attention not the coarsest.
    """
    probs = combine_cross_attention(cross_layers.float(), variance_floor)
    for rows in sorted(self_attention):
        attention = self_attention[rows]
        grid = (rows, len(attention) // rows)
        if attention.ndim != 2 or attention.shape != (rows * grid[1], rows * grid[1]):
            raise ValueError(f'self_attention: expected a square matrix for {rows} rows, got {tuple(attention.shape)}')
        if rows > min(self_attention):
            prior = F.interpolate(probs[None, None], grid, mode='bicubic')[0, 0]
            probs = suppress_background(prior, attention)
        elif probs.shape == grid:
            probs = min_max(grow(attention, otsu_seeds(probs).flatten()).view_as(probs))
        else:
            raise ValueError(f'cross_layers: expected the coarsest grid {grid}, got {tuple(probs.shape)}')
    return probs
