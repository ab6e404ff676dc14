"""Layouts: where the regions of images are, and how they lie along a joint sequence of image and text tokens.

Shapes: B images, R regions (one for a single class, K for all classes of an image), c latent channels, h w latent
grid, T text tokens, N image tokens, S = N + T tokens of a joint sequence, d head dimension, H' W' image size of the
prior.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.prediction import ClassList


@dataclass(frozen=True)
class RegionLayout:
    """Where the regions of B images are, and which text tokens name them.

    Attributes:
        region_masks: (B, R, h, w) float in [0, 1], the share of each latent cell that belongs to each region.
        token_masks: (B, R, T) float in {0, 1}, 1 where a text token names the region.
        noise_level: timestep / number of training timesteps, in [0, 1].
        region_maps: (B, H', W') int64 at the prior's image size, 1 to R where a region is and 0 elsewhere; for
            injectors that read pixels. None where none does.
        region_classes: for each image the class indices of its regions 1 to R, where there are `region_maps`.
        classes: of the data set, likewise.
    """

    region_masks: Tensor
    token_masks: Tensor
    noise_level: float = 0.4
    region_maps: Tensor | None = None
    region_classes: Sequence[Sequence[int]] = ()
    classes: ClassList | None = None

    def __post_init__(self) -> None:
        if self.region_masks.ndim != 4 or self.token_masks.ndim != 3:
            raise ValueError(
                'expected region_masks (B, R, h, w) and token_masks (B, R, T), '
                f'got {tuple(self.region_masks.shape)} and {tuple(self.token_masks.shape)}'
            )
        if self.region_masks.shape[:2] != self.token_masks.shape[:2]:
            raise ValueError(
                'region_masks and token_masks differ in images or regions: '
                f'{tuple(self.region_masks.shape[:2])} and {tuple(self.token_masks.shape[:2])}'
            )

    def to(self, like: Tensor) -> 'RegionLayout':
        """Moves the masks to the device and dtype of `like`, (B, c, h, w) latents, and the maps to its device."""
        # maps hold numbers of regions, which are exact in bfloat16 up to 256 only: they stay integers
        maps = None if self.region_maps is None else self.region_maps.to(like.device)
        return replace(
            self, region_masks=self.region_masks.to(like), token_masks=self.token_masks.to(like), region_maps=maps
        )

    def take(self, images: Sequence[int], tokens: int) -> 'RegionLayout':
        """The layouts of some images, on the first `tokens` text tokens."""
        # tokens are cut, too: a transformer is not shown padding, and masks of it would fit no layer
        index = list(images)
        return replace(
            self,
            region_masks=self.region_masks[index],
            token_masks=self.token_masks[index, :, :tokens],
            region_maps=None if self.region_maps is None else self.region_maps[index],
            region_classes=[self.region_classes[i] for i in index] if self.region_classes else (),
        )


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
