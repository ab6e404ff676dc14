"""The paper's update: reconstruct under the mask, match, mix (G4Seg, Eq. 2-5, 8, 9).

    S*[j] = beta S[j] + (1 - beta) S[match(j)]   where low <= S[j] <= high, S[j] elsewhere

match(j) is the place of the original image whose features are nearest to those of place j of the reconstruction.

Shapes: N layouts in a pass, R regions of a layout, K classes of an image, c latent channels, h w latent grid, D
feature channels, h' w' feature grid, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.denoiser import DenoiserFeatures
from mmseg_g4seg.ops.guided_filter import Upsampling, check_upsampling, upsample
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.matching import read_matches
from mmseg_g4seg.ops.posterior import mix_foreground_probs
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.encoding import EncodedImage
from mmseg_g4seg.refiners.g4seg.layouts import Layout
from mmseg_g4seg.refiners.g4seg.passes import Passes
from mmseg_g4seg.refiners.g4seg.reconstruction import OneStep, Reconstruction
from mmseg_g4seg.registry import NUMBER, expect_option, expect_part, register

from .base import ClassProbs, Update


@register
class CorrespondenceUpdate(Update):
    """The paper's rule: an uncertain pixel takes over some of the probability of its match.

    The image is reconstructed under its mask. The match of a place in the reconstruction is the place of the original
    image with the most similar features.
    """

    def __init__(
        self,
        *,
        beta: float = 0.8,
        confidence_range: Sequence[float] = (0.2, 0.6),
        reconstruction: Reconstruction | None = None,
        features: FeatureExtractor | None = None,
        temperature: float = 0.0,
        joint: bool = False,
        upsampling: Upsampling = 'bilinear',
    ) -> None:
        """Args:
            beta: share of the old probability that is kept (Eq. 9); the paper takes 0.8 for open-vocabulary and 0.9
                for weakly supervised masks.
            confidence_range: foreground probabilities that may change (the filter CF).
            reconstruction: how the image is generated under its mask; default: `OneStep`.
            features: features by which reconstruction and original are compared; default: `DenoiserFeatures`.
            temperature: 0 takes the single best match (Eq. 8). Above 0, matches are averaged by the softmax of
                similarity / temperature.
            joint: inject all classes of an image in one pass, not one class at a time.
            upsampling: from the feature grid to the image's: `bilinear`, or `guided`, which follows the image's edges.

        Raises:
            ValueError: if a number is out of range, or a part is of the wrong kind.
        """
        self.beta = expect_option('beta', beta, NUMBER, 'a number in [0, 1]', holds=lambda v: 0 <= v <= 1)
        self.confidence_range = _as_range(confidence_range)
        self.temperature = expect_option(
            'temperature', temperature, NUMBER, 'a finite number of at least 0', holds=lambda v: 0 <= v < float('inf')
        )
        self.joint = expect_option('joint', joint, bool, 'True or False')
        self.reconstruction = expect_part('reconstruction', reconstruction or OneStep(), Reconstruction)
        self.features = expect_part('features', features or DenoiserFeatures(), FeatureExtractor)
        self.upsampling = check_upsampling(upsampling)

    def check(self, prior: DiffusionPrior) -> None:
        self.reconstruction.check(prior)
        self.features.check(prior)

    def to(self, device: torch.device | str) -> 'CorrespondenceUpdate':
        self.features.to(device)
        return self

    def __call__(
        self,
        passes: Passes,
        images: Sequence[EncodedImage],
        predictions: Sequence[Prediction],
        selected: Sequence[Sequence[int]],
    ) -> list[ClassProbs]:
        layouts = [
            passes.place(i, images[i], predictions[i].label_map, group)
            for i, classes in enumerate(selected)
            for group in self._groups(classes)
        ]
        originals = self._original_features(passes, images)

        def coarse(layout: Layout) -> Tensor:
            return predictions[layout.image_index].probs[list(layout.classes)]  # (R, H, W)

        def match(batch: Sequence[Layout]) -> list[Tensor]:
            targets = torch.stack([originals[layout.image_index] for layout in batch])
            generated = self._extract(passes, self.reconstruction(passes, images, batch))  # (N, D, h', w')
            # one layout at a time: they may differ in regions, and a row of similarities is what memory is spent on
            return [
                self.matched_probs(generated[n : n + 1], targets[n : n + 1], coarse(layout), layout)
                for n, layout in enumerate(batch)
            ]

        found: list[Tensor] = []
        for attempt in passes.attempts(layouts):
            with attempt as batch:
                found += match(batch)
        updated = [
            p.probs.new_empty(len(own), *p.probs.shape[1:]) for p, own in zip(predictions, selected, strict=True)
        ]
        for layout, matched in zip(layouts, found, strict=True):
            # guided upsampling extrapolates a linear function of colour, beyond 0 and 1 at strong edges
            target = upsample(matched, images[layout.image_index].image, self.upsampling).clamp(0, 1)
            mixed = mix_foreground_probs(coarse(layout), target, self.beta, self.confidence_range)
            rows = [selected[layout.image_index].index(c) for c in layout.classes]
            updated[layout.image_index][rows] = mixed
        return list(zip(selected, updated, strict=True))

    def matched_probs(self, generated: Tensor, original: Tensor, probs: Tensor, layout: Layout) -> Tensor:
        """What the matches of a layout say.

        Args:
            generated: (1, D, h', w') features of the reconstruction.
            original: (1, D, h', w') features of the image.
            probs: (R, H, W) float in [0, 1] of the layout's classes.
            layout: that was injected.

        Returns:
            (R, h', w') float32: the probabilities at the match of each place.
        """
        low = resize_maps(probs, original.shape[-2:])
        return read_matches(generated, original, low[None], temperature=self.temperature)[0]

    def _groups(self, classes: Sequence[int]) -> list[tuple[int, ...]]:
        """Classes that share a pass: each alone, or all together."""
        # one pass a class, as the paper has it: each class is told apart from everything else, not from the others
        if self.joint:
            return [tuple(classes)] if classes else []
        return [(c,) for c in classes]

    def _original_features(self, passes: Passes, images: Sequence[EncodedImage]) -> list[Tensor]:
        """Features of the images themselves, once each, alone: (D, h', w') an image."""
        found: list[Tensor] = []
        # alone, so that an image's features do not depend on what is beside it: batched convolutions round differently
        for attempt in MemoryBudget(1).attempts(images, passes.prior.device):
            with attempt as batch:
                found += [self._extract(passes, image.latents[None], image.pixels[None])[0] for image in batch]
        return found

    def _extract(self, passes: Passes, latents: Tensor, pixels: Tensor | None = None) -> Tensor:
        """(N, c, h, w) latents -> (N, D, h', w'); what is generated is decoded where features read pixels."""
        # the VAE's decoder is most of SD 2.1's cost (2.5 of 4.5 TFLOP), so only who reads pixels pays for it
        if self.features.reads_pixels and pixels is None:
            pixels = passes.prior.decode_latents(latents)
        features = self.features(passes.prior, latents, pixels)
        return passes.prior.finite.note('feature extractor', features.dtype, features)


def _as_range(given: Sequence[float]) -> tuple[float, float]:
    """(low, high), or ValueError."""
    expected = 'two probabilities, low <= high'
    low, high = expect_option('confidence_range', given, (list, tuple), expected, holds=lambda r: len(r) == 2)
    for value in (low, high):
        expect_option('confidence_range', value, NUMBER, expected)
    if not 0 <= low <= high <= 1:
        raise ValueError(f'confidence_range: expected 0 <= low <= high <= 1, got {given!r}')
    return low, high
