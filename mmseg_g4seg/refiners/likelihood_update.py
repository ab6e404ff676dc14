"""Asks the prior directly: under which class does it best predict the noise in the uncertain pixels?

G4Seg's Eq. 6 with the coarse p(S) kept: posterior ~ coarse probability * exp(-lambda * error).

Shapes: K classes selected in an image, N layouts in a pass, c latent channels, h w latent grid,
H W image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..guided_filter import guided_upsample
from ..masks import resize_maps
from ..probability import bound_errors, posterior_probs
from .base import Prediction
from .layouts import ClassProbs, EncodedImage, LayoutPass
from .noise_errors import noise_errors


@dataclass(frozen=True)
class Evidence:
    """What the prior says about the uncertain pixels of one image.

    Attributes:
        candidates: classes that some pixel is open to; none where there is nothing to choose.
        open_to: for each candidate the pixels that may take it, (H, W) bool.
        errors: for each candidate the denoiser's error, (h, w) float32.
    """

    candidates: list[int]
    open_to: list[Tensor]
    errors: list[Tensor]


def weigh_candidates(
    probs: Tensor, open_to: Tensor, errors: Tensor, sharpness: float, bound: float | None = None
) -> Tensor:
    """Weighs the candidates' coarse probabilities by their errors, each where it may be.

    Args:
        probs: (N, ...) float in [0, 1] of N candidates.
        open_to: (N, ...) bool, pixels that may take each.
        errors: (N, ...) float.
        sharpness: see `posterior_probs`.
        bound: see `bound_errors`; None for no bound.

    Returns:
        (N, ...): the posterior where a candidate may be, `probs` elsewhere.
    """
    if bound is not None and sharpness > 0:
        errors = bound_errors(errors, open_to, bound / sharpness)
    weighed = posterior_probs(torch.where(open_to, probs, 0), errors, sharpness)
    return torch.where(open_to, weighed, probs)


class LikelihoodUpdate:
    """Fills the uncertain pixels with each class in turn and reads the denoiser's error.

    All classes of the image are injected at once; only the uncertain pixels differ between
    candidates, and only where a candidate is plausible; all candidates see the same noise.
    Background has no name: as a candidate it leaves the uncertain pixels to no region.
    """

    def __init__(self, layout_pass: LayoutPass) -> None:
        self.layout_pass = layout_pass
        self.prior, self.settings = layout_pass.prior, layout_pass.settings

    def __call__(
        self, images: Sequence[EncodedImage], predictions: Sequence[Prediction], classes: Sequence[Sequence[int]]
    ) -> list[ClassProbs]:
        """Updates the probabilities of the classes selected in each image, and of its background.

        Args:
            images: encoded images.
            predictions: one an image.
            classes: the K classes selected in each image.

        Returns:
            For each image the candidates and their probabilities, (candidates, H, W) float32 in
            [0, 1].
        """
        gathered = self.gather(images, predictions, classes)
        return [
            (evidence.candidates, self.posterior(prediction, evidence, image))
            for prediction, evidence, image in zip(predictions, gathered, images, strict=True)
        ]

    def gather(
        self, images: Sequence[EncodedImage], predictions: Sequence[Prediction], classes: Sequence[Sequence[int]]
    ) -> list[Evidence]:
        """Asks the prior: arguments as for a call, what it says about each image."""
        open_to = [
            self._open_to(p, self._candidates(selected)) for p, selected in zip(predictions, classes, strict=True)
        ]
        layouts, candidates = [], []
        for i, selected in enumerate(classes):
            # a class that no pixel is open to needs no pass; with one alone there is nothing to choose
            named = [c for c, pixels in open_to[i].items() if pixels.any()]
            candidates.append(named if len(named) > 1 and selected else [])
            for c in candidates[i]:
                filled = torch.where(open_to[i][c], c, predictions[i].label_map)
                layouts.append(self.layout_pass.place(i, images[i], filled, selected))
        errors = noise_errors(self.layout_pass, images, layouts)
        gathered = []
        for i, named in enumerate(candidates):
            own = [e for layout, e in zip(layouts, errors, strict=True) if layout.image == i]
            gathered.append(Evidence(named, [open_to[i][c] for c in named], own))
        return gathered

    def upsample(self, errors: Tensor, image: EncodedImage) -> Tensor:
        """Errors on the image's grid: (N, h, w) -> (N, H, W)."""
        if self.settings.upsampling == 'guided':
            return guided_upsample(errors, image.image)
        return resize_maps(errors, image.image.shape[-2:])

    def _candidates(self, selected: Sequence[int]) -> list[int]:
        """What an uncertain pixel may be: a class of the image, or its background."""
        background = self.settings.background_index
        return [*selected] if background is None else [*selected, background]

    def _open_to(self, prediction: Prediction, candidates: Sequence[int]) -> dict[int, Tensor]:
        """Pixels that each candidate may take, (H, W) bool: uncertain ones where it is plausible."""
        uncertain = prediction.probs.amax(dim=0) < self.settings.confidence_range[1]
        return {c: uncertain & (prediction.probs[c] >= self.settings.candidate_threshold) for c in candidates}

    def posterior(self, prediction: Prediction, evidence: Evidence, image: EncodedImage) -> Tensor:
        """Probabilities of the candidates, each where it may be: (candidates, H, W)."""
        probs = prediction.probs[evidence.candidates]
        if not evidence.candidates:
            return probs
        errors, settings = self.upsample(torch.stack(evidence.errors), image), self.settings
        return weigh_candidates(
            probs, torch.stack(evidence.open_to), errors, settings.likelihood_sharpness, settings.likelihood_bound
        )
