"""DenseDiffusion's rule (arXiv 2308.12964): moves similarities towards the ends of their own range.

Shapes: B images, R regions, Q query tokens, Kt key tokens, N image tokens, d head dimension.

At G4Seg's timestep of 400 it moves next to nothing: the strength falls with the fifth power of the noise level,
0.4^5 = 0.01. It is here because the paper's weights come from it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.registry import register

from .base import AttentionInjector
from .layouts import JointLayout


def range_modulated_attention(
    query: Tensor, key: Tensor, value: Tensor, same_region: Tensor, strength: Tensor
) -> Tensor:
    """Attention whose similarities move towards their own extremes, as DenseDiffusion does.

    Where `same_region` holds a similarity rises by strength * (max - sim), elsewhere it falls by
    strength * (sim - min); max and min are taken over the keys of each query.

    Args:
        query: (B, heads, Q, d) float.
        key: (B, heads, Kt, d) float.
        value: (B, heads, Kt, d) float.
        same_region: (B, Q, Kt) bool.
        strength: (B, Q) float, the share of the range to move by.

    Returns:
        (B, heads, Q, d), dtype of `query`.

    Source:
        DenseDiffusion (arXiv 2308.12964), Eq. 4-6. The bias is not of low rank: (Q, Kt) is built.
    """
    return _gather(modulate_range(_similarity(query, key), same_region, strength), value)


def _similarity(query: Tensor, key: Tensor) -> Tensor:
    """Scaled similarities, (B, heads, Q, Kt) float32 whatever the dtype of the (B, heads, N, d) tokens."""
    # fused kernels keep these in float32; as float16, SD 2.1's exceed 65504 and `highest - similarity` is NaN, and as
    # bfloat16 one of 50 is wrong by an eighth, more than the rule moves it at timestep 400
    return query.float() @ key.float().transpose(-1, -2) * query.shape[-1] ** -0.5


def _gather(similarity: Tensor, value: Tensor) -> Tensor:
    """(B, heads, Q, Kt) float32 and (B, heads, Kt, d) -> (B, heads, Q, d), dtype of `value`."""
    return similarity.softmax(-1).to(value) @ value


def modulate_range(similarity: Tensor, same_region: Tensor, strength: Tensor) -> Tensor:
    """Moves (B, heads, Q, Kt) similarities towards their extremes; the rest as `range_modulated_attention`."""
    lowest, highest = similarity.amin(-1, keepdim=True), similarity.amax(-1, keepdim=True)
    shift = torch.where(same_region[:, None], highest - similarity, lowest - similarity)
    return similarity + strength[:, None, :, None].to(similarity) * shift


def modulation_strength(segments: Tensor, weight: float, noise_level: float) -> Tensor:
    """DenseDiffusion's share of the range, less for large segments: one-hot (B, Q, R + 1) -> (B, Q)."""
    own_area = (segments * segments.mean(1, keepdim=True)).sum(-1)
    return weight * noise_level**5 * (1 - own_area)


def hard_segments(regions: Tensor) -> Tensor:
    """Assigns every token to its main region or to none: (B, N, R) -> one-hot (B, N, R + 1)."""
    nothing = 1 - regions.sum(-1, keepdim=True)
    winner = torch.cat([regions, nothing], dim=-1).argmax(-1)
    return F.one_hot(winner, regions.shape[-1] + 1).to(regions)


@register
class DenseDiffusionInjector(AttentionInjector):
    """Modulates by range, stronger the noisier the latents and the smaller the segment."""

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
        segments = hard_segments(query_regions)  # (B, Q, R + 1)
        key_segments = F.pad(key_regions, (0, 1)) if is_cross else segments  # no token names what is in no region
        weight = self.cross_weight if is_cross else self.self_weight
        strength = modulation_strength(segments, weight, noise_level)
        return range_modulated_attention(query, key, value, segments @ key_segments.transpose(1, 2) > 0, strength)

    def attend_jointly(
        self, query: Tensor, key: Tensor, value: Tensor, joint: JointLayout, *, has_text: bool
    ) -> Tensor:
        """(B, heads, S, d): image queries move in the ranges over text and over image keys apart, text queries stay."""
        similarity = _similarity(query, key)
        segments = hard_segments(joint.image)  # (B, N, R + 1)
        image, text = joint.slices() if has_text else (slice(None), slice(0))
        level, rows = joint.layout.noise_level, similarity[:, :, image]
        rows[..., image] = _moved(rows[..., image], segments, segments, self.self_weight, level)
        if has_text:
            named = F.pad(joint.text, (0, 1))
            rows[..., text] = _moved(rows[..., text], segments, named, self.cross_weight, level)
        return _gather(similarity, value)


def _moved(similarity: Tensor, segments: Tensor, key_segments: Tensor, weight: float, noise_level: float) -> Tensor:
    """(B, heads, N, Kt) similarities, moved in their own range."""
    strength = modulation_strength(segments, weight, noise_level)
    return modulate_range(similarity, segments @ key_segments.transpose(1, 2) > 0, strength)
