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
from ..noise import image_noise
from ..probability import posterior_probs
from .base import Prediction
from .layouts import EncodedImage, Layout, LayoutPass


class LikelihoodUpdate:
    """Fills the uncertain pixels with each class in turn and reads the denoiser's error.

    All classes of the image are injected at once; only the uncertain pixels differ between
    candidates, and all candidates see the same noise.
    """

    def __init__(self, layout_pass: LayoutPass) -> None:
        self.layout_pass = layout_pass
        self.prior, self.settings = layout_pass.prior, layout_pass.settings

    def __call__(
        self, images: Sequence[EncodedImage], predictions: Sequence[Prediction], classes: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """Updates the probabilities of the classes selected in each image.

        Args:
            images: encoded images.
            predictions: one an image.
            classes: the K classes selected in each image, its candidates.

        Returns:
            For each image (K, H, W) float32 in [0, 1].
        """
        uncertain = [p.probs.amax(dim=0) < self.settings.confidence_range[1] for p in predictions]
        layouts = [
            Layout(i, tuple(selected), regions)
            for i, selected in enumerate(classes)
            if len(selected) > 1 and uncertain[i].any()
            for regions in self._filled_regions(predictions[i], selected, uncertain[i], images[i])
        ]
        errors = self._errors(images, layouts)
        updated = []
        for i, selected in enumerate(classes):
            probs = predictions[i].probs[list(selected)]
            own = [error for layout, error in zip(layouts, errors, strict=True) if layout.image == i]
            if own:
                error = resize_maps(torch.stack(own), probs.shape[-2:])
                posterior = posterior_probs(probs, error, self.settings.likelihood_sharpness)
                probs = torch.where(uncertain[i], posterior, probs)
            updated.append(probs)
        return updated

    @staticmethod
    def _filled_regions(
        prediction: Prediction, selected: Sequence[int], uncertain: Tensor, image: EncodedImage
    ) -> list[Tensor]:
        """For each candidate the layout in which it takes all uncertain pixels: K of (K, h, w)."""
        grid = image.latents.shape[-2:]
        label_map = prediction.label_map
        return [
            resize_maps(torch.stack([torch.where(uncertain, c, label_map) == k for k in selected]).float(), grid)
            for c in selected
        ]

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
        clean = torch.stack([images[layout.image].latents for layout in batch])
        noise = torch.stack(
            [
                image_noise(
                    clean.shape[1:], seed=self.settings.seed, key=f'{images[lay.image].key}@{timestep}', draw=draw
                )
                for lay in batch
            ]
        ).to(clean)
        alpha = self.prior.alpha_cumprod(timestep)
        output = self.layout_pass.denoise(self.prior.add_noise(clean, noise, timestep), timestep, batch)
        target = noise_target(clean, noise, alpha, self.prior.prediction_type)
        return (output - target).square().mean(dim=1)
