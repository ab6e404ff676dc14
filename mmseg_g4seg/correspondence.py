"""Semantic correspondence between two feature maps (G4Seg's SCA, Eq. 8).

Shapes: B images, D feature channels, h w feature grid; locations are numbered row by row.
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
    if source.shape != target.shape or source.ndim != 4:
        raise ValueError(
            f'expected two feature maps (B, D, h, w) of one shape, got {tuple(source.shape)} and {tuple(target.shape)}'
        )
    queries = F.normalize(source.float().flatten(2).transpose(1, 2), dim=-1)  # (B, h*w, D)
    keys = F.normalize(target.float().flatten(2), dim=1)  # (B, D, h*w)
    best = [(chunk @ keys).max(dim=-1) for chunk in queries.split(ROWS_PER_CHUNK, dim=1)]
    return torch.cat([b.indices for b in best], dim=1), torch.cat([b.values for b in best], dim=1)


def gather_matches(maps: Tensor, index: Tensor) -> Tensor:
    """Reads maps at matched locations: result[b, j] = maps[b, index[b, j]].

    Args:
        maps: (B, h, w) float.
        index: (B, h*w) int64.

    Returns:
        (B, h, w), dtype of `maps`.
    """
    return maps.flatten(1).gather(1, index).view_as(maps)
