"""Mask injection where image and text tokens attend to each other in one sequence (SD 3, FLUX.1).

Shapes: B images, R regions, h w latent grid, N image tokens, T text tokens, S = N + T tokens of the
joint sequence, d head dimension.

The two biases of G4Seg concern the image's queries alone: `cross_weight * a[i, r] * b[j, r]` on text
keys, `self_weight * a[i, r] * a[j, r]` on image keys. With the weights on the keys both are one bias
of rank R over the whole sequence, whose query channels are 0 on text tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import (
    MaskInjection,
    hard_segments,
    modulate_range,
    modulation_strength,
    region_biased_attention,
)


class JointLayout:
    """One injection laid out along a joint sequence, built once for all layers."""

    def __init__(self, injection: MaskInjection, *, patch_size: int, text_first: bool) -> None:
        """Args:
        injection: region masks on the latents' grid, whose sides are multiples of `patch_size`;
            token masks over the whole text sequence.
        patch_size: latent cells an image token, along each side.
        text_first: whether the sequence is [text, image] (FLUX.1) or [image, text] (SD 3).
        """
        self.injection, self.text_first = injection, text_first
        shares = F.avg_pool2d(injection.region_masks, patch_size)  # (B, R, h', w')
        self.image = shares.flatten(2).transpose(1, 2)  # (B, N, R)
        self.text = injection.token_masks.transpose(1, 2)  # (B, T, R)
        self.image_keys = injection.self_weight * self.image
        self.queries = self._join(torch.zeros_like(self.text), self.image)
        self.keys = self._join(injection.cross_weight * self.text, self.image_keys)

    def _join(self, text: Tensor, image: Tensor) -> Tensor:
        """(B, T, ...) and (B, N, ...) -> (B, S, ...), in the family's order."""
        return torch.cat([text, image] if self.text_first else [image, text], dim=1)

    def is_off(self, *, has_text: bool) -> bool:
        """Whether a layer, of the joint sequence or of image tokens alone, is left as it is."""
        return self.injection.self_weight == 0 and (not has_text or self.injection.cross_weight == 0)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, has_text: bool) -> Tensor:
        """Attends under the injection's rule.

        Args:
            query: (B, heads, S, d) float, after normalisation and rotation; (B, heads, N, d) in
                layers of image tokens alone.
            key: as `query`.
            value: as `query`.
            has_text: whether the sequence is the joint one.

        Returns:
            As `query`.

        Raises:
            ValueError: if the layout does not fit the sequence.
        """
        queries, keys = (self.queries, self.keys) if has_text else (self.image, self.image_keys)
        if (query.shape[0], query.shape[2]) != queries.shape[:2]:
            raise ValueError(
                f'a layer has {query.shape[0]} images of {query.shape[2]} tokens; the injected layout has '
                f'{queries.shape[0]} of {self.image.shape[1]} image and {self.text.shape[1]} text tokens: '
                "expected region masks on the latents' own grid, one layout an image"
            )
        if self.injection.rule == 'g4seg':
            return region_biased_attention(query, key, value, queries, keys, 1.0)
        return self._modulated(query, key, value, has_text=has_text)

    def _modulated(self, query: Tensor, key: Tensor, value: Tensor, *, has_text: bool) -> Tensor:
        """DenseDiffusion's rule: image queries move in the ranges over text and over image keys apart."""
        similarity = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        segments = hard_segments(self.image)  # (B, N, R + 1)
        image, text = self._slices() if has_text else (slice(None), slice(0))
        rows = similarity[:, :, image]
        rows[..., image] = self._moved(rows[..., image], segments, segments, self.injection.self_weight)
        if has_text:
            named = F.pad(self.text, (0, 1))  # no token names what belongs to no region
            rows[..., text] = self._moved(rows[..., text], segments, named, self.injection.cross_weight)
        return similarity.softmax(-1) @ value

    def _moved(self, similarity: Tensor, segments: Tensor, key_segments: Tensor, weight: float) -> Tensor:
        strength = modulation_strength(segments, weight, self.injection.noise_level)
        return modulate_range(similarity, segments @ key_segments.transpose(1, 2) > 0, strength)

    def _slices(self) -> tuple[slice, slice]:
        """Where image and text stand in the joint sequence."""
        image, text = self.image.shape[1], self.text.shape[1]
        if self.text_first:
            return slice(text, text + image), slice(text)
        return slice(image), slice(image, image + text)
