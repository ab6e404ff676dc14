"""Keeps a class's update only where the prior agrees: max p(x | S), the method's own objective (Eq. 6).

Shapes: K classes of an image, h w latent grid, H W image size.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..masks import present_classes, resize_maps
from .base import Prediction
from .layouts import EncodedImage, Layout, LayoutPass
from .noise_errors import noise_errors


class Acceptance:
    """Compares the denoiser's error under the refined mask with that under the coarse one, class by class."""

    def __init__(self, layout_pass: LayoutPass) -> None:
        self.layout_pass, self.settings = layout_pass, layout_pass.settings

    def __call__(
        self, images: Sequence[EncodedImage], before: Sequence[Prediction], after: Sequence[Prediction]
    ) -> list[Prediction]:
        """Takes back the label changes towards classes under whose new mask the image is less likely.

        Args:
            images: encoded images.
            before: one prediction an image.
            after: what an update made of them.

        Returns:
            For each image `after`, with the pixels that changed to a rejected class as they were `before`.
        """
        changed = [i for i, (b, a) in enumerate(zip(before, after, strict=True)) if (b.label_map != a.label_map).any()]
        layouts = [self._layout(i, p, before[i], after[i], images[i]) for i in changed for p in (before[i], after[i])]
        errors = noise_errors(self.layout_pass, images, layouts)
        kept = list(after)
        for i, old, new in zip(changed, errors[::2], errors[1::2], strict=True):
            kept[i] = self._keep(before[i], after[i], new - old)
        return kept

    def _layout(self, i: int, shown: Prediction, before: Prediction, after: Prediction, image: EncodedImage) -> Layout:
        """The layout of one mask, with the classes of both named, so that only the places differ."""
        classes = {c for p in (before, after) for c in present_classes(p.label_map, len(p.probs))}
        named = tuple(c for c in sorted(classes) if c != self.settings.background_index)
        return self.layout_pass.place(i, image, shown.label_map, named)

    @staticmethod
    def _keep(before: Prediction, after: Prediction, rise: Tensor) -> Prediction:
        """Rejects each class that gained pixels and under whose gain the error, (h, w) `rise`, rose."""
        changed = before.label_map != after.label_map
        rejected = torch.zeros_like(changed)
        for c in after.label_map[changed].unique().tolist():
            gained = changed & (after.label_map == c)
            weight = resize_maps(gained[None].float(), rise.shape)[0]
            if float((rise * weight).sum()) > 0:
                rejected |= gained
        probs = torch.where(rejected, before.probs, after.probs)
        return replace(after, probs=probs, label_map=torch.where(rejected, before.label_map, after.label_map))
