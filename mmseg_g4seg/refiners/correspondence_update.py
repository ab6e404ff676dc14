"""The paper's update: reconstruct under the mask, match, mix (G4Seg, Eq. 2-5, 8, 9).

Shapes: N layouts in a pass, c latent channels, h w latent grid, D feature channels, h' w' feature
grid, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..correspondence import gather_matches, match_features
from ..features import FeatureExtractor
from ..masks import resize_maps
from ..probability import mix_foreground_probs
from .base import Prediction
from .layouts import ClassProbs, EncodedImage, Layout, LayoutPass, class_regions, latents_and_noise


class CorrespondenceUpdate:
    """Moves uncertain probabilities to those of the place that looks like the reconstruction."""

    def __init__(self, layout_pass: LayoutPass, features: FeatureExtractor) -> None:
        self.layout_pass, self.features = layout_pass, features
        self.prior, self.settings = layout_pass.prior, layout_pass.settings

    def __call__(
        self, images: Sequence[EncodedImage], predictions: Sequence[Prediction], classes: Sequence[Sequence[int]]
    ) -> list[ClassProbs]:
        """Updates the foreground probabilities of the classes selected in each image.

        Args:
            images: encoded images.
            predictions: one an image.
            classes: the K classes selected in each image.

        Returns:
            For each image its classes and their probabilities, (K, H, W) float32 in [0, 1].
        """
        layouts = [
            Layout(i, group, class_regions(predictions[i].label_map, group, images[i].latents.shape[-2:]))
            for i, selected in enumerate(classes)
            for group in self._group(selected)
        ]
        originals = self._original_features(images, {layout.image for layout in layouts})
        updated: list[list[Tensor]] = [[] for _ in images]
        for batch in self.layout_pass.split(layouts):
            generated = self._generated_features(images, batch)
            index, _ = match_features(generated, torch.stack([originals[layout.image] for layout in batch]))
            for layout, matches in zip(batch, index, strict=True):
                probs = predictions[layout.image].probs[list(layout.classes)]
                updated[layout.image].append(self._mix(probs, matches, generated.shape[-2:]))
        return [
            (selected, torch.cat(maps) if maps else prediction.probs[:0])
            for selected, maps, prediction in zip(classes, updated, predictions, strict=True)
        ]

    def _group(self, selected: Sequence[int]) -> list[tuple[int, ...]]:
        """Classes that share a pass: each alone, or all together."""
        if self.settings.joint:
            return [tuple(selected)] if selected else []
        return [(c,) for c in selected]

    def _original_features(self, images: Sequence[EncodedImage], wanted: set[int]) -> dict[int, Tensor]:
        """Features of the images themselves, once each: {image: (D, h', w')}."""
        return {i: self._extract(images[i].latents[None], images[i].pixels[None])[0] for i in sorted(wanted)}

    def _generated_features(self, images: Sequence[EncodedImage], layouts: Sequence[Layout]) -> Tensor:
        """Features of the one-step reconstructions: (N, D, h', w')."""
        latents = self.reconstruct(images, layouts)
        return self._extract(latents, None)

    def reconstruct(self, images: Sequence[EncodedImage], layouts: Sequence[Layout]) -> Tensor:
        """Noises each image and denoises it in one step under its layout: (N, c, h, w)."""
        clean, noise = latents_and_noise(images, layouts, seed=self.settings.seed)
        noisy = self.prior.add_noise(clean, noise, self.settings.timestep)
        return self.layout_pass.predict_latents(noisy, self.settings.timestep, layouts)

    def _extract(self, latents: Tensor, pixels: Tensor | None) -> Tensor:
        if self.features.space == 'latents':
            return self.features(latents)
        return self.features(self.prior.decode_latents(latents) if pixels is None else pixels)

    def _mix(self, probs: Tensor, matches: Tensor, grid: Sequence[int]) -> Tensor:
        """Mixes (K, H, W) probabilities with those at the matches, h'*w' indices on the feature grid."""
        low = resize_maps(probs, grid)
        matched = gather_matches(low, matches.expand(len(low), -1))
        if self.settings.mixing == 'residual':
            target = (probs + resize_maps(matched - low, probs.shape[-2:])).clamp(0, 1)
        else:
            target = resize_maps(matched, probs.shape[-2:])
        return mix_foreground_probs(probs, target, self.settings.beta, self.settings.confidence_range)
