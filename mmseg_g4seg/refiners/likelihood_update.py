"""Asks the prior directly: under which class does it best predict the noise in the uncertain pixels?

G4Seg's Eq. 6 with the coarse p(S) kept: posterior ~ coarse probability * exp(-lambda * error).

Shapes: K classes selected in an image, N layouts in a pass, c latent channels, h w latent grid,
H W image size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.prediction import noise_target
from ..masks import resize_maps
from ..probability import posterior_probs
from .base import Prediction
from .layouts import ClassProbs, EncodedImage, Layout, LayoutPass, class_regions, latents_and_noise


class LikelihoodUpdate:
    """Fills the uncertain pixels with each class in turn and reads the denoiser's error.

    All classes of the image are injected at once; only the uncertain pixels differ between
    candidates, and all candidates see the same noise. Background has no name: as a candidate it
    leaves the uncertain pixels to no region.
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
        uncertain = [p.probs.amax(dim=0) < self.settings.confidence_range[1] for p in predictions]
        candidates = [self._candidates(selected) for selected in classes]
        layouts = [
            Layout(i, tuple(selected), self._fill(predictions[i], selected, candidate, uncertain[i], images[i]))
            for i, selected in enumerate(classes)
            if selected and len(candidates[i]) > 1 and uncertain[i].any()
            for candidate in candidates[i]
        ]
        errors = self._errors(images, layouts)
        return [
            (candidates[i], self._posterior(predictions[i], candidates[i], uncertain[i], own))
            for i, own in enumerate(_errors_by_image(layouts, errors, len(images)))
        ]

    def _candidates(self, selected: Sequence[int]) -> list[int]:
        """What an uncertain pixel may be: a class of the image, or its background."""
        background = self.settings.background_index
        return [*selected] if background is None else [*selected, background]

    @staticmethod
    def _fill(
        prediction: Prediction, selected: Sequence[int], candidate: int, uncertain: Tensor, image: EncodedImage
    ) -> Tensor:
        """Regions of the layout in which a candidate takes all uncertain pixels: (K, h, w)."""
        filled = torch.where(uncertain, candidate, prediction.label_map)
        return class_regions(filled, selected, image.latents.shape[-2:])

    def _posterior(
        self, prediction: Prediction, candidates: Sequence[int], uncertain: Tensor, errors: Sequence[Tensor]
    ) -> Tensor:
        """Weighs the candidates' coarse probabilities by their errors, where pixels are uncertain."""
        probs = prediction.probs[list(candidates)]
        if not errors:
            return probs
        error = resize_maps(torch.stack(list(errors)), probs.shape[-2:])
        return torch.where(uncertain, posterior_probs(probs, error, self.settings.likelihood_sharpness), probs)

    def _errors(self, images: Sequence[EncodedImage], layouts: Sequence[Layout]) -> list[Tensor]:
        """Mean squared error of the denoiser under each layout, over all draws: (h, w) each."""
        draws = [(t, d) for t in self.settings.likelihood_timesteps for d in range(self.settings.likelihood_draws)]
        errors: list[Tensor] = []
        for batch in self.layout_pass.split(layouts):
            total = sum(self._error(images, batch, timestep, draw) for timestep, draw in draws)
            errors += list(self._smooth(torch.as_tensor(total) / len(draws)))
        return errors

    def _smooth(self, errors: Tensor) -> Tensor:
        """Averages (N, h, w) errors over a box: one cell's error is mostly the noise's own."""
        side = self.settings.likelihood_smoothing
        return F.avg_pool2d(errors[:, None], side, 1, side // 2, count_include_pad=False)[:, 0]

    def _error(self, images: Sequence[EncodedImage], batch: Sequence[Layout], timestep: int, draw: int) -> Tensor:
        """Squared error of one draw, averaged over latent channels: (N, h, w)."""
        seed = self.settings.seed
        clean, noise = latents_and_noise(images, batch, seed=seed, tag=f'@{timestep}', draw=draw)
        alpha = self.prior.alpha_cumprod(timestep)
        output = self.layout_pass.denoise(self.prior.add_noise(clean, noise, timestep), timestep, batch)
        target = noise_target(clean, noise, alpha, self.prior.prediction_type)
        return (output - target).square().mean(dim=1)


def _errors_by_image(layouts: Sequence[Layout], errors: Sequence[Tensor], count: int) -> list[list[Tensor]]:
    """Sorts the errors of layouts by their image, in order."""
    sorted_errors: list[list[Tensor]] = [[] for _ in range(count)]
    for layout, error in zip(layouts, errors, strict=True):
        sorted_errors[layout.image].append(error)
    return sorted_errors
