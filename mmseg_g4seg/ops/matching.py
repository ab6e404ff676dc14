"""Semantic correspondence between two feature maps (G4Seg's SCA, Eq. 8).

Shapes: B images, D feature channels, K maps, h w feature grid; locations are numbered row by row.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS_PER_CHUNK = 1024
"""Source locations matched at a time, so that memory stays at this many rows of similarities."""


def match_features(source: Tensor, target: Tensor, *, radius: float | None = None) -> tuple[Tensor, Tensor]:
    """Finds for each source location the target location of highest cosine similarity.

    Args:
        source: (B, D, h, w) float features of the generated image.
        target: (B, D, h, w) float features of the original image.
        radius: matches lie within so many cells along each axis; anywhere when not given.

    Returns:
        Indices (B, h*w) int64 into the target's locations, the first where several tie, and their
        similarities (B, h*w) float32 in [-1, 1].

    Raises:
        ValueError: if the shapes differ.

    Source:
        G4Seg, Eq. 8.
    """
    if source.shape != target.shape or source.ndim != 4:
        raise ValueError(
            f'expected two feature maps (B, D, h, w) of one shape, got {tuple(source.shape)} and {tuple(target.shape)}'
        )
    queries = F.normalize(source.float().flatten(2).transpose(1, 2), dim=-1)  # (B, h*w, D)
    keys = F.normalize(target.float().flatten(2), dim=1)  # (B, D, h*w)
    far = None if radius is None else far_apart(source.shape[-2:], radius).to(source.device)
    best = []
    for start in range(0, queries.shape[1], ROWS_PER_CHUNK):
        similarity = queries[:, start : start + ROWS_PER_CHUNK] @ keys
        if far is not None:
            similarity = similarity.masked_fill(far[start : start + ROWS_PER_CHUNK], -torch.inf)
        best.append(similarity.max(dim=-1))
    return torch.cat([b.indices for b in best], dim=1), torch.cat([b.values for b in best], dim=1)


def gather_matches(maps: Tensor, index: Tensor) -> Tensor:
    """Reads maps at matched locations: result[b, k, j] = maps[b, k, index[b, j]].

    Args:
        maps: (B, K, h, w) float.
        index: (B, h*w) int64.

    Returns:
        (B, K, h, w), dtype of `maps`.
    """
    flat = maps.flatten(2)  # (B, K, h*w)
    return flat.gather(2, index[:, None].expand_as(flat)).view_as(maps)


def match_softly(
    source: Tensor, target: Tensor, maps: Tensor, *, temperature: float, radius: float | None = None
) -> Tensor:
    """Averages maps over all matches, each weighted by the softmax of its similarity.

    Args:
        source: (B, D, h, w) float features of the generated image.
        target: (B, D, h, w) float features of the original image.
        maps: (B, K, h, w) float, on the original image.
        temperature: similarities are divided by it; towards 0 the best match takes all.
        radius: matches lie within so many cells along each axis; anywhere when not given.

    Returns:
        (B, K, h, w): what the matches of each location say, dtype of `maps`.
    """
    queries = F.normalize(source.float().flatten(2).transpose(1, 2), dim=-1)  # (B, h*w, D)
    keys = F.normalize(target.float().flatten(2), dim=1)  # (B, D, h*w)
    values = maps.float().flatten(2).transpose(1, 2)  # (B, h*w, K)
    far = None if radius is None else far_apart(source.shape[-2:], radius).to(source.device)
    parts = []
    for start in range(0, queries.shape[1], ROWS_PER_CHUNK):
        logits = queries[:, start : start + ROWS_PER_CHUNK] @ keys / temperature
        if far is not None:
            logits = logits.masked_fill(far[start : start + ROWS_PER_CHUNK], -torch.inf)
        parts.append(logits.softmax(dim=-1) @ values)
    return torch.cat(parts, dim=1).transpose(1, 2).reshape(maps.shape).to(maps.dtype)


def far_apart(grid: Sequence[int], radius: float) -> Tensor:
    """Which pairs of locations lie further apart than `radius` cells along an axis: (h*w, h*w) bool."""
    rows = torch.arange(grid[0]).repeat_interleave(grid[1])
    columns = torch.arange(grid[1]).repeat(grid[0])
    return ((rows[:, None] - rows).abs() > radius) | ((columns[:, None] - columns).abs() > radius)


def mutual_matches(source: Tensor, target: Tensor, index: Tensor) -> Tensor:
    """Which matches hold in both directions: the match's own match lies within one cell of the start.

    Args:
        source: (B, D, h, w) float features of the generated image.
        target: (B, D, h, w) float features of the original image.
        index: (B, h*w) int64 matches of the source in the target.

    Returns:
        (B, h, w) bool.
    """
    back, _ = match_features(target, source)
    width = source.shape[-1]
    returned = back.gather(1, index)
    start = torch.arange(index.shape[1], device=index.device)
    rows, columns = (returned // width - start // width).abs(), (returned % width - start % width).abs()
    return ((rows <= 1) & (columns <= 1)).view(len(index), *source.shape[-2:])
