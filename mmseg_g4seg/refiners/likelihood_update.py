"""Asks the prior directly: under which class does it best predict the noise in the uncertain pixels?

G4Seg's Eq. 6 with the coarse p(S) kept: posterior ~ coarse probability * exp(-lambda * error).

Shapes: K classes selected in an image, N layouts in a pass, c latent channels, h w latent grid,
H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..guided_filter import guided_upsample
from ..masks import resize_maps
from ..probability import posterior_probs
from .base import Prediction
from .layouts import ClassProbs, EncodedImage, LayoutPass
from .noise_errors import noise_errors


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
        updated: list[ClassProbs] = []
        for i, prediction in enumerate(predictions):
            own = [e for layout, e in zip(layouts, errors, strict=True) if layout.image == i]
            pixels = [open_to[i][c] for c in candidates[i]]
            updated.append((candidates[i], self._posterior(prediction, candidates[i], pixels, own, images[i])))
        return updated

    def _candidates(self, selected: Sequence[int]) -> list[int]:
        """What an uncertain pixel may be: a class of the image, or its background."""
        background = self.settings.background_index
        return [*selected] if background is None else [*selected, background]

    def _open_to(self, prediction: Prediction, candidates: Sequence[int]) -> dict[int, Tensor]:
        """Pixels that each candidate may take, (H, W) bool: uncertain ones where it is plausible."""
        uncertain = prediction.probs.amax(dim=0) < self.settings.confidence_range[1]
        return {c: uncertain & (prediction.probs[c] >= self.settings.candidate_threshold) for c in candidates}

    def _posterior(
        self,
        prediction: Prediction,
        candidates: Sequence[int],
        pixels: Sequence[Tensor],
        errors: Sequence[Tensor],
        image: EncodedImage,
    ) -> Tensor:
        """Weighs the candidates' coarse probabilities by their errors, each where it may be: (candidates, H, W)."""
        probs = prediction.probs[list(candidates)]
        if not candidates:
            return probs
        plausible = torch.stack(list(pixels))
        error = self._upsample(torch.stack(list(errors)), image)
        weighed = posterior_probs(torch.where(plausible, probs, 0), error, self.settings.likelihood_sharpness)
        return torch.where(plausible, weighed, probs)

    def _upsample(self, errors: Tensor, image: EncodedImage) -> Tensor:
        if self.settings.upsampling == 'guided':
            return guided_upsample(errors, image.image)
        return resize_maps(errors, image.image.shape[-2:])
