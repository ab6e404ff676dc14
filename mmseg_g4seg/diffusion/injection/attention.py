"""Mask injection: biases a denoiser's attention towards a layout (G4Seg, arXiv 2506.01539, Eq. 3-5).

Shapes: B images, R regions, Q query tokens, Kt key tokens (Q for self-attention, T text tokens for cross-attention),
d head dimension.

The bias of region r on query i and key j is `weight * a[i, r] * b[j, r]`. A sum of R such products
is a matrix product, so R more channels on query and key give the biased similarity exactly and no
(Q, Kt) bias is ever built.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.registry import register

from .base import AttentionInjector
from .layouts import JointLayout

KERNEL_MULTIPLE = 8
"""Fused attention kernels take head dimensions that are multiples of this."""


def mask_biased_attention(
    query: Tensor, key: Tensor, value: Tensor, query_mask: Tensor, key_mask: Tensor, weight: float
) -> Tensor:
    """Attention under one rank-one bias: softmax(QK^T/sqrt(d) + weight * query_mask (x) key_mask) V.

    Args:
        query: (B, heads, Q, d) float.
        key: (B, heads, Kt, d) float.
        value: (B, heads, Kt, d) float.
        query_mask: (B, Q) float in [0, 1].
        key_mask: (B, Kt) float in [0, 1].
        weight: bias that reaches the softmax where both masks are 1.

    Returns:
        (B, heads, Q, d), dtype of `query`.

    Source:
        G4Seg, Eq. 3-5.
    """
    return region_biased_attention(query, key, value, query_mask[..., None], key_mask[..., None], weight)


def region_biased_attention(
    query: Tensor, key: Tensor, value: Tensor, query_regions: Tensor, key_regions: Tensor, weight: float
) -> Tensor:
    """Attention under a bias of rank R: softmax(QK^T/sqrt(d) + weight * query_regions key_regions^T) V.

    Args:
        query: (B, heads, Q, d) float.
        key: (B, heads, Kt, d) float.
        value: (B, heads, Kt, d) float.
        query_regions: (B, Q, R) float in [0, 1].
        key_regions: (B, Kt, R) float in [0, 1].
        weight: bias that reaches the softmax where a query and a key share a region.

    Returns:
        (B, heads, Q, d), dtype of `query`.
    """
    head_dim = query.shape[-1]
    # the scale below divides by sqrt(d) once more: a weight that is not multiplied by it first would reach the softmax
    # an eighth as large in heads of 64
    query_channels = (query_regions * (weight * math.sqrt(head_dim))).to(query)
    # heads of 40 (SD 1.5) with one region would be 41 wide, which no fused kernel takes: the slow path would
    padding = -(head_dim + query_regions.shape[-1]) % KERNEL_MULTIPLE
    output = F.scaled_dot_product_attention(
        _append_channels(query, F.pad(query_channels, (0, padding))),
        _append_channels(key, F.pad(key_regions.to(key), (0, padding))),
        F.pad(value, (0, query_regions.shape[-1] + padding)),
        scale=head_dim**-0.5,
    )
    return output[..., :head_dim]


def _append_channels(tokens: Tensor, channels: Tensor) -> Tensor:
    """(B, heads, N, d) and (B, N, P) -> (B, heads, N, d + P), in one copy."""
    return torch.cat([tokens, channels[:, None].expand(-1, tokens.shape[1], -1, -1)], dim=-1)


@register
class MaskInjector(AttentionInjector):
    """G4Seg's own rule: adds a weight to the similarity of what belongs together, before the softmax.

    The weights are alpha / sqrt(d) of Eq. 3-5; the defaults are DenseDiffusion's, which the paper takes.
    """

    def attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        query_regions: Tensor,
        key_regions: Tensor,
        *,
        is_cross: bool,
        noise_level: float,
    ) -> Tensor:
        weight = self.cross_weight if is_cross else self.self_weight
        return region_biased_attention(query, key, value, query_regions, key_regions, weight)

    def attend_jointly(
        self, query: Tensor, key: Tensor, value: Tensor, joint: JointLayout, *, has_text: bool
    ) -> Tensor:
        # text and image keys carry their own weights: one bias for the whole sequence
        keys = joint.weighted_keys(self.cross_weight, self.self_weight, has_text=has_text)
        return region_biased_attention(query, key, value, joint.queries if has_text else joint.image, keys, 1.0)
