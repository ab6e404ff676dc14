"""Keeps a class's update only where the prior agrees: max p(x | S), the method's own objective (Eq. 6).

Shapes: K classes of an image, h w latent grid, H W image size.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmseg_g4seg.ops.masks import present_classes, resize_maps
from mmseg_g4seg.prediction import Prediction

from .layouts import EncodedImage, Layout, LayoutPass
from .updates.noise_errors import noise_errors


def gained_pixels(before: Prediction, after: Prediction) -> dict[int, Tensor]:
    """Pixels that each class gained, (H, W) bool; classes that gained none are left out."""
    changed = before.label_map != after.label_map
    return {c: changed & (after.label_map == c) for c in after.label_map[changed].unique().tolist()}


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
        rises = self.error_rises(images, before, after)
        return [self.keep(b, a, rise) for b, a, rise in zip(before, after, rises, strict=True)]

    def error_rises(
        self, images: Sequence[EncodedImage], before: Sequence[Prediction], after: Sequence[Prediction]
    ) -> list[dict[int, float]]:
        """How much the error rose where each class gained pixels; arguments as for a call.

        Returns:
            For each image the summed rise of each class that gained pixels; below 0 the prior agrees.
        """
        changed = [i for i, (b, a) in enumerate(zip(before, after, strict=True)) if (b.label_map != a.label_map).any()]
        layouts = [self._layout(i, p, before[i], after[i], images[i]) for i in changed for p in (before[i], after[i])]
        errors = noise_errors(self.layout_pass, images, layouts)
        rises: list[dict[int, float]] = [{} for _ in images]
        for i, old, new in zip(changed, errors[::2], errors[1::2], strict=True):
            for c, gained in gained_pixels(before[i], after[i]).items():
                weight = resize_maps(gained[None].float(), new.shape)[0]
                rises[i][c] = float(((new - old) * weight).sum())
        return rises

    @staticmethod
    def keep(before: Prediction, after: Prediction, rises: dict[int, float]) -> Prediction:
        """Takes back the pixels that went to a class whose error rose, see `error_rises`."""
        gained = gained_pixels(before, after)
        if not gained:
            return after
        rejected = torch.zeros_like(before.label_map, dtype=torch.bool)
        for c, pixels in gained.items():
            if rises[c] > 0:
                rejected |= pixels
        probs = torch.where(rejected, before.probs, after.probs)
        return replace(after, probs=probs, label_map=torch.where(rejected, before.label_map, after.label_map))

    def _layout(self, i: int, shown: Prediction, before: Prediction, after: Prediction, image: EncodedImage) -> Layout:
        """The layout of one mask, with the known classes of both named, so that only the places differ."""
        classes = {c for p in (before, after) for c in present_classes(p.label_map, len(p.probs))}
        classes.discard(self.settings.background_index)
        named = tuple(c for c in sorted(classes) if self.settings.knows(self.layout_pass.class_names[c]))
        return self.layout_pass.place(i, image, shown.label_map, named)
