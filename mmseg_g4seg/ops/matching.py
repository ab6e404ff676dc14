"""Semantic correspondence between two feature maps (G4Seg's SCA, Eq. 8).

Shapes: B images, D feature channels, K maps, h w feature grid; locations are numbered row by row.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS_PER_CHUNK = 1024
"""Source locations matched at a time, so that memory stays at this many rows of similarities."""


def match_features(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Finds for each source location the target location of highest cosine similarity.

    Args:
        source: (B, D, h, w) float features of the generated image.
        target: (B, D, h, w) float features of the original image.

    Returns:
        Indices (B, h*w) int64 into the target's locations, the first where several tie, and their
        similarities (B, h*w) float32 in [-1, 1].

    Raises:
        ValueError: if the shapes differ.

    Source:
        G4Seg, Eq. 8.
    """
    queries, keys = unit_rows(source, target)
    best = [
        (queries[:, start : start + ROWS_PER_CHUNK] @ keys).max(dim=-1)
        for start in range(0, queries.shape[1], ROWS_PER_CHUNK)
    ]
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


def match_softly(source: Tensor, target: Tensor, maps: Tensor, *, temperature: float) -> Tensor:
    """Averages maps over all matches, each weighted by the softmax of its similarity.

    Args:
        source: (B, D, h, w) float features of the generated image.
        target: (B, D, h, w) float features of the original image.
        maps: (B, K, h, w) float, on the original image.
        temperature: similarities are divided by it; towards 0 the best match takes all.

    Returns:
        (B, K, h, w): what the matches of each location say, dtype of `maps`.
    """
    queries, keys = unit_rows(source, target)
    values = maps.float().flatten(2).transpose(1, 2)  # (B, h*w, K)
    parts = [
        (queries[:, start : start + ROWS_PER_CHUNK] @ keys / temperature).softmax(dim=-1) @ values
        for start in range(0, queries.shape[1], ROWS_PER_CHUNK)
    ]
    return torch.cat(parts, dim=1).transpose(1, 2).reshape(maps.shape).to(maps.dtype)


def read_matches(source: Tensor, target: Tensor, maps: Tensor, *, temperature: float = 0.0) -> Tensor:
    """Maps at the matches of each location: at the single best one, or averaged where there is a temperature.

    Args:
        source: (B, D, h, w) float features of the generated image.
        target: (B, D, h, w) float features of the original image.
        maps: (B, K, h, w) float, on the original image.
        temperature: 0 for the best match alone.

    Returns:
        (B, K, h, w), dtype of `maps`.
    """
    if temperature > 0:
        return match_softly(source, target, maps, temperature=temperature)
    return gather_matches(maps, match_features(source, target)[0])


def unit_rows(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Features of unit length: (B, h*w, D) of the source, (B, D, h*w) of the target."""
    if source.shape != target.shape or source.ndim != 4:
        raise ValueError(
            f'expected two feature maps (B, D, h, w) of one shape, got {tuple(source.shape)} and {tuple(target.shape)}'
        )
    queries = F.normalize(source.float().flatten(2).transpose(1, 2), dim=-1)  # (B, h*w, D)
    keys = F.normalize(target.float().flatten(2), dim=1)  # (B, D, h*w)
    return queries, keys
