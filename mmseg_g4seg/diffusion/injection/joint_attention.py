"""A layout where image and text tokens attend to each other in one sequence (SD 3, FLUX.1).

Shapes: B images, R regions, h w latent grid, N image tokens, T text tokens, S = N + T tokens of the
joint sequence, d head dimension.

The two biases of G4Seg concern the image's queries alone: `cross_weight * a[i, r] * b[j, r]` on text
keys, `self_weight * a[i, r] * a[j, r]` on image keys. With the weights on the keys both are one bias
of rank R over the whole sequence, whose query channels are 0 on text tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import AttentionInjector, RegionLayout


class JointLayout:
    """One layout along a joint sequence, built once for all layers.

    Attributes:
        image: (B, N, R) float in [0, 1], share of each image token that belongs to each region.
        text: (B, T, R) float in {0, 1}, tokens that name each region.
        queries: (B, S, R), `image` with 0 on text tokens.
    """

    def __init__(self, layout: RegionLayout, *, patch_size: int, text_first: bool) -> None:
        """Args:
        layout: region masks on the latents' grid, whose sides are multiples of `patch_size`;
            token masks over the whole text sequence.
        patch_size: latent cells an image token, along each side.
        text_first: whether the sequence is [text, image] (FLUX.1) or [image, text] (SD 3).
        """
        self.layout, self.text_first = layout, text_first
        shares = F.avg_pool2d(layout.region_masks, patch_size)  # (B, R, h', w')
        self.image = shares.flatten(2).transpose(1, 2)  # (B, N, R)
        self.text = layout.token_masks.transpose(1, 2)  # (B, T, R)
        self.queries = self.join(torch.zeros_like(self.text), self.image)
        self._keys: dict[tuple[float, float, bool], Tensor] = {}

    def join(self, text: Tensor, image: Tensor) -> Tensor:
        """(B, T, ...) and (B, N, ...) -> (B, S, ...), in the family's order."""
        return torch.cat([text, image] if self.text_first else [image, text], dim=1)

    def weighted_keys(self, cross_weight: float, self_weight: float, *, has_text: bool) -> Tensor:
        """Regions of the keys times their weights: (B, S, R); (B, N, R) in layers of image tokens alone."""
        place = (cross_weight, self_weight, has_text)
        if place not in self._keys:  # a model has dozens of layers, which share them
            image = self_weight * self.image
            self._keys[place] = self.join(cross_weight * self.text, image) if has_text else image
        return self._keys[place]

    def slices(self) -> tuple[slice, slice]:
        """Where image and text stand in the joint sequence."""
        image, text = self.image.shape[1], self.text.shape[1]
        if self.text_first:
            return slice(text, text + image), slice(text)
        return slice(image), slice(image, image + text)

    def check_fits(self, query: Tensor, *, has_text: bool) -> None:
        """Raises ValueError unless a layer's queries, (B, heads, S, d), or N in place of S, fit the layout."""
        expected = self.queries if has_text else self.image
        # 64 x 32 and 32 x 64 cells make as many tokens, and are not told apart here
        if (query.shape[0], query.shape[2]) != expected.shape[:2]:
            raise ValueError(
                f'a layer has {query.shape[0]} images of {query.shape[2]} tokens; the injected layout has '
                f'{expected.shape[0]} of {self.image.shape[1]} image and {self.text.shape[1]} text tokens: '
                "expected region masks on the latents' own grid, one layout an image"
            )


class JointAttention:
    """An injector at work in a joint sequence: what a family's attention processor asks."""

    def __init__(self, injector: AttentionInjector, joint: JointLayout) -> None:
        self.injector, self.joint = injector, joint

    def is_off(self, *, has_text: bool) -> bool:
        """Whether a layer, of the joint sequence or of image tokens alone, is left as it is."""
        return self.injector.is_off(is_cross=False) and (not has_text or self.injector.is_off(is_cross=True))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, has_text: bool) -> Tensor:
        """Attends under the injector's rule.

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
        self.joint.check_fits(query, has_text=has_text)
        return self.injector.attend_jointly(query, key, value, self.joint, has_text=has_text)
