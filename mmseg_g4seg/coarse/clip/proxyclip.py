"""ProxyCLIP (ECCV 2024, arXiv 2408.04883): another model, which knows shapes, says what belongs together.

Shapes: B images, H W image size, h w CLIP's patch grid, h' w' the other model's, D its channels, d head dimension.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_g4seg.features.self_supervised import PatchFeatures
from mmseg_g4seg.registry import register

from .base import ClipMethod, LastAttention


@register
class ProxyCLIP(ClipMethod):
    """softmax(S) v, S the other model's cosines above their mean; without residual and feed-forward network."""

    name = 'proxyclip'
    keeps_block: ClassVar[bool] = False
    window: ClassVar[tuple[int, int] | None] = (336, 112)

    def __init__(self, features: nn.Module, *, shift: float = 1.2, sharpness: float = 3.0) -> None:
        """Args:
        features: (B, 3, H, W) float RGB in [0, 1] -> (B, D, h', w'), such as `PatchFeatures`.
        shift: cosines below this share of their mean do not count (the paper's β).
        sharpness: factor of what they exceed it by (its γ).
        """
        self.features, self.shift, self.sharpness = features, shift, sharpness

    @classmethod
    def from_config(
        cls, features: str = 'facebook/dino-vitb8', *, shift: float = 1.2, sharpness: float = 3.0
    ) -> 'ProxyCLIP':
        """Loads a vision transformer of transformers (DINO, DINOv2) from a folder or a hub id.

        Raises:
            ValueError: if weights are missing, which transformers leaves random with a warning.
        """
        return cls(PatchFeatures.load(features), shift=shift, sharpness=sharpness)

    def to(self, device: torch.device | str) -> 'ProxyCLIP':
        self.features.to(device)
        return self

    def attend(self, layer: LastAttention) -> Tensor:
        features = self.features(layer.images)  # (B, D, h', w')
        grid = (features.shape[2], features.shape[3])
        similar = proxy_logits(features.flatten(2), self.shift, self.sharpness).to(layer.value)
        batch, heads = layer.value.shape[:2]
        own = layer.value[:, :, 1:].transpose(2, 3).unflatten(3, layer.grid).flatten(0, 1)  # (B heads, d, h, w)
        values = F.interpolate(own, grid, mode='bilinear').flatten(2).transpose(1, 2).unflatten(0, (batch, heads))
        return (similar.softmax(dim=-1)[:, None] @ values).unflatten(2, grid)  # (B, heads, h', w', d)


def proxy_logits(features: Tensor, shift: float, sharpness: float) -> Tensor:
    """What another model's features say of which patches belong together.

    Args:
        features: (B, D, N) float, of N patches.
        shift: see `ProxyCLIP`.
        sharpness: likewise.

    Returns:
        (B, N, N), -inf where two patches do not; never in all of a row.
    """
    directions = F.normalize(features.float(), dim=1)
    cosines = directions.transpose(1, 2) @ directions
    # of each image on its own: its masks must not hang on what else is in the batch
    logits = (cosines - shift * cosines.mean(dim=(1, 2), keepdim=True)) * sharpness
    # where all are alike the mean is 1, and 1.2 of it above each: a row of -inf is a row of NaN
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    return logits.masked_fill((logits < 0) & ~own, float('-inf'))
