"""How well the prior predicts the noise under a layout: the error at each place, -log p(x | S) up to a factor.

Shapes: N layouts in a pass, c latent channels, h w latent grid.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.prediction import noise_target
from mmseg_g4seg.refiners.g4seg.layouts import EncodedImage, Layout, LayoutPass, latents_and_noise


def noise_errors(layout_pass: LayoutPass, images: Sequence[EncodedImage], layouts: Sequence[Layout]) -> list[Tensor]:
    """Squared error of the denoiser, averaged over latent channels, timesteps, draws and windows.

    Layouts of one image see the same noise, so that their errors can be compared.

    Args:
        layout_pass: runs the denoiser; its settings have timesteps, draws and windows.
        images: encoded images.
        layouts: any number, of any of the images.

    Returns:
        (h, w) float32 for each layout.
    """
    settings = layout_pass.settings
    draws = [(t, d) for t in settings.likelihood_timesteps for d in range(settings.likelihood_draws)]

    def measure(batch: Sequence[Layout]) -> list[Tensor]:
        total = torch.stack([_error(layout_pass, images, batch, *draw) for draw in draws]).mean(dim=0)
        return list(average_windows(total, settings.windows))

    return layout_pass.run(measure, layouts)


def average_windows(errors: Tensor, sides: Sequence[int]) -> Tensor:
    """Averages (N, h, w) errors over a box around each cell, and over boxes of several sides.

    One cell's error is mostly the noise's own; a wide box sees which class fits the whole region.
    """
    averaged = [F.avg_pool2d(errors[:, None], side, 1, side // 2, count_include_pad=False)[:, 0] for side in sides]
    return torch.stack(averaged).mean(dim=0)


def _error(
    layout_pass: LayoutPass, images: Sequence[EncodedImage], batch: Sequence[Layout], timestep: int, draw: int
) -> Tensor:
    """Squared error of one draw, averaged over latent channels: (N, h, w)."""
    prior = layout_pass.prior
    clean, noise = latents_and_noise(images, batch, seed=layout_pass.settings.seed, tag=f'@{timestep}', draw=draw)
    output = layout_pass.denoise(prior.add_noise(clean, noise, timestep), timestep, batch)
    target = noise_target(clean, noise, prior.alpha_cumprod(timestep), prior.prediction_type)
    return (output - target).square().mean(dim=1)
