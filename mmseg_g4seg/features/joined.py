"""Features of several extractors as one.

Shapes: B images, D feature channels, h' w' feature grid.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.masks import resize_maps

from .base import FeatureExtractor


class JoinedFeatures(FeatureExtractor):
    """Several extractors' features side by side, on the finest of their grids.

    Each is brought to unit length at every location first, so that the cosine similarity of joined
    features is the weighted mean of the extractors' own.
    """

    def __init__(self, parts: Sequence[FeatureExtractor], *, weights: Sequence[float] | None = None) -> None:
        """Args:
            parts: two extractors or more.
            weights: what each similarity counts for, above 0; all the same when not given.

        Raises:
            ValueError: if there are fewer than two parts, or the weights do not fit them.
        """
        if len(parts) < 2:
            raise ValueError(f'parts: expected two extractors or more to join, got {len(parts)}')
        weights = [1.0] * len(parts) if weights is None else list(weights)
        if len(weights) != len(parts) or min(weights) <= 0:
            raise ValueError(f'weights: expected {len(parts)} above 0, one a part, got {weights}')
        self.parts = list(parts)
        self.weights = [weight / sum(weights) for weight in weights]
        self.reads_pixels = any(part.reads_pixels for part in parts)

    def to(self, device: torch.device | str) -> 'JoinedFeatures':
        for part in self.parts:
            part.to(device)
        return self

    def __call__(self, latents: Tensor, pixels: Tensor | None = None) -> Tensor:
        maps = [part(latents, pixels if part.reads_pixels else None) for part in self.parts]
        finest = max((m.shape[-2:] for m in maps), key=lambda grid: grid[0] * grid[1])
        unit = [F.normalize(resize_maps(m, finest), dim=1) for m in maps]
        return torch.cat([weight**0.5 * m for weight, m in zip(self.weights, unit, strict=True)], dim=1)
