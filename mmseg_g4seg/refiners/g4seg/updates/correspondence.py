"""The paper's update: reconstruct under the mask, match, mix (G4Seg, Eq. 2-5, 8, 9).

Shapes: N layouts in a pass, R regions of a layout, c latent channels, h w latent grid, D feature
channels, h' w' feature grid, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.inversion import InversionSettings, Sampler, reconstruct
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.ops.guided_filter import guided_upsample
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.matching import gather_matches, match_features, match_softly, mutual_matches
from mmseg_g4seg.ops.posterior import mix_foreground_probs
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.layouts import ClassProbs, EncodedImage, Layout, LayoutPass, latents_and_noise


class CorrespondenceUpdate:
    """Moves uncertain probabilities to those of the place that looks like the reconstruction.

    One object serves one batch of images, as often as it is repeated.
    """

    def __init__(self, layout_pass: LayoutPass, features: FeatureExtractor) -> None:
        self.layout_pass, self.features = layout_pass, features
        self.prior, self.settings = layout_pass.prior, layout_pass.settings
        self._originals: dict[int, Tensor] = {}

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
            self.layout_pass.place(i, images[i], predictions[i].label_map, group)
            for i, selected in enumerate(classes)
            for group in self._group(selected)
        ]
        originals = self._original_features(images, {layout.image for layout in layouts})
        updated: list[list[Tensor]] = [[] for _ in images]

        def match(batch: Sequence[Layout]) -> list[tuple[Tensor, Tensor]]:
            targets = torch.stack([originals[layout.image] for layout in batch])
            low = [self._low(predictions[layout.image], layout.classes, targets.shape[-2:]) for layout in batch]
            return list(zip(low, self._matched(images, batch, targets, low), strict=True))

        for layout, (before, after) in zip(layouts, self.layout_pass.run(match, layouts), strict=True):
            probs = predictions[layout.image].probs[list(layout.classes)]
            updated[layout.image].append(self._mix(probs, before, after, images[layout.image]))
        return [
            (selected, torch.cat(maps) if maps else prediction.probs[:0])
            for selected, maps, prediction in zip(classes, updated, predictions, strict=True)
        ]

    @staticmethod
    def _low(prediction: Prediction, classes: Sequence[int], grid: Sequence[int]) -> Tensor:
        """Probabilities on the feature grid: (R, h', w')."""
        return resize_maps(prediction.probs[list(classes)], grid)

    def _matched(
        self, images: Sequence[EncodedImage], batch: Sequence[Layout], targets: Tensor, low: Sequence[Tensor]
    ) -> list[Tensor]:
        """What the matches say, averaged over draws of the noise: (R, h', w') for each layout."""
        total = [torch.zeros_like(maps) for maps in low]
        for draw in range(self.settings.correspondence_draws):
            generated = self._generated_features(images, batch, draw)
            for i, maps in enumerate(low):
                total[i] += self._read_matches(generated[i : i + 1], targets[i : i + 1], maps[None])[0]
        return [maps / self.settings.correspondence_draws for maps in total]

    def _read_matches(self, source: Tensor, target: Tensor, maps: Tensor) -> Tensor:
        """Maps at the matches of each location: (1, R, h', w')."""
        settings = self.settings
        radius = None if settings.match_radius is None else settings.match_radius * max(maps.shape[-2:])
        if settings.match_temperature > 0:
            matched = match_softly(source, target, maps, temperature=settings.match_temperature, radius=radius)
        else:
            matched = gather_matches(maps, match_features(source, target, radius=radius)[0])
        if not settings.match_mutual:
            return matched
        index, _ = match_features(source, target, radius=radius)
        return torch.where(mutual_matches(source, target, index)[:, None], matched, maps)

    def _group(self, selected: Sequence[int]) -> list[tuple[int, ...]]:
        """Classes that share a pass: each alone, or all together."""
        if self.settings.joint:
            return [tuple(selected)] if selected else []
        return [(c,) for c in selected]

    def _original_features(self, images: Sequence[EncodedImage], wanted: set[int]) -> dict[int, Tensor]:
        """Features of the images themselves, once each, however often they are asked for: {image: (D, h', w')}."""

        def extract(batch: Sequence[int]) -> list[Tensor]:
            return [self._extract(images[i].latents[None], images[i].pixels[None])[0] for i in batch]

        new = sorted(wanted - set(self._originals))
        features = MemoryBudget(1).run(extract, new, self.prior.device)
        self._originals.update(zip(new, features, strict=True))
        return self._originals

    def _generated_features(self, images: Sequence[EncodedImage], layouts: Sequence[Layout], draw: int) -> Tensor:
        """Features of the one-step reconstructions: (N, D, h', w')."""
        return self._extract(self.reconstruct(images, layouts, draw=draw), None)

    def reconstruct(self, images: Sequence[EncodedImage], layouts: Sequence[Layout], *, draw: int = 0) -> Tensor:
        """Generates each image under its layout, in one step or by inversion: (N, c, h, w) clean latents."""
        generation = self.settings.generation
        if generation is not None:
            return self._generate(generation, images, layouts)
        clean, noise = latents_and_noise(images, layouts, seed=self.settings.seed, draw=draw)
        noisy = self.prior.add_noise(clean, noise, self.settings.timestep)
        return self.layout_pass.predict_latents(noisy, self.settings.timestep, layouts)

    def _generate(
        self, settings: InversionSettings, images: Sequence[EncodedImage], layouts: Sequence[Layout]
    ) -> Tensor:
        """Inverts each image under its prompt, and generates it anew with its layout injected."""
        prompts, _ = self.layout_pass.condition(layouts, self.settings.timestep)
        empty = self.prior.encode_prompts([[]] * len(layouts), '{name}')
        clean = torch.stack([images[layout.image].latents for layout in layouts])
        sampler = Sampler(self.prior, prompts, empty, settings)
        return reconstruct(sampler, clean, lambda timestep: self.layout_pass.condition(layouts, timestep)[1])

    def _extract(self, latents: Tensor, pixels: Tensor | None) -> Tensor:
        if self.features.reads_pixels and pixels is None:
            pixels = self.prior.decode_latents(latents)
        features = self.features(latents, pixels)
        return self.prior.finite.note('feature extractor', features.dtype, features)

    def _mix(self, probs: Tensor, low: Tensor, matched: Tensor, image: EncodedImage) -> Tensor:
        """Mixes (R, H, W) probabilities with those at the matches, (R, h', w') on the feature grid."""
        if self.settings.mixing == 'residual':
            target = probs + self._upsample(matched - low, image)
        else:
            target = self._upsample(matched, image)
        return mix_foreground_probs(probs, target.clamp(0, 1), self.settings.beta, self.settings.confidence_range)

    def _upsample(self, maps: Tensor, image: EncodedImage) -> Tensor:
        if self.settings.upsampling == 'guided':
            return guided_upsample(maps, image.image)
        return resize_maps(maps, image.image.shape[-2:])
