"""How well the prior predicts the noise in images under layouts: -log p(x | S) up to a factor (Eq. 6).

Shapes: N layouts in a pass, h w latent grid.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.prediction import predict_noise

from .encoding import EncodedImage, latents_and_noise
from .layouts import Layout
from .passes import Passes


def noise_errors(
    passes: Passes, images: Sequence[EncodedImage], layouts: Sequence[Layout], timesteps: Sequence[int], draws: int = 1
) -> list[Tensor]:
    """The denoiser's error under each layout.

    Layouts of one image see the same noise, so that their errors can be compared.

    Args:
        passes: ask the prior.
        images: encoded images.
        layouts: any number, of any of the images.
        timesteps: noise levels.
        draws: of the noise, at each of them.

    Returns:
        (h, w) float32 for each layout: the squared error of the predicted noise, averaged over latent
        channels, timesteps and draws.
    """
    found: list[Tensor] = []
    for attempt in passes.attempts(layouts):
        with attempt as batch:
            found += _mean_errors(passes, images, batch, timesteps, draws)
    return found


def _mean_errors(
    passes: Passes, images: Sequence[EncodedImage], batch: Sequence[Layout], timesteps: Sequence[int], draws: int
) -> list[Tensor]:
    errors = [_error(passes, images, batch, t, draw) for t in timesteps for draw in range(draws)]
    return list(torch.stack(errors).mean(dim=0))


def _error(passes: Passes, images: Sequence[EncodedImage], batch: Sequence[Layout], timestep: int, draw: int) -> Tensor:
    """Squared error of one draw, averaged over latent channels: (N, h, w)."""
    prior, behind = passes.prior, [layout.image_index for layout in batch]
    clean, noise = latents_and_noise(images, behind, seed=passes.seed, timestep=timestep, draw=draw)
    noisy = prior.add_noise(clean, noise, timestep)
    output = prior.denoise(noisy, timestep, *passes.condition(batch, timestep))
    # not the error of the output itself: a velocity's is 1.1 times as large at timestep 100 of SD 2.1 and 6 times at
    # 600, so that one sharpness would mean another thing for every prior, and the noisiest level would decide alone
    predicted = predict_noise(output, noisy, prior.alpha_cumprod(timestep), prior.prediction_type)
    return (predicted - noise).square().mean(dim=1)
