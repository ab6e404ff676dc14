"""Pictures to look at while a prior trains: what it draws for the layouts of held-out images.

Shapes: B images, c latent channels, h w latent grid, H W image size.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmseg_g4seg.diffusion.prediction import add_noise, predict_x0
from mmseg_g4seg.io.atomic import atomic_file

from .architecture import PriorParts
from .batches import Batch, LatentSet, View
from .denoiser import Denoiser

RECONSTRUCTION_TIMESTEP = 400


@torch.no_grad()
def save_samples(denoiser: Denoiser, parts: PriorParts, data: LatentSet, path: Path, count: int = 6) -> None:
    """Saves three rows: held-out images, their one-step reconstructions, and samples of their layouts."""
    entries = list(range(min(count, len(data.data))))
    view: View = 'caption' if data.data.label_maps is None else 'all classes'
    generator = torch.Generator().manual_seed(0)
    batch = data.assemble(entries, [0] * len(entries), [view] * len(entries), generator)
    noise = torch.randn(batch.latents.shape, generator=generator)
    rows = [batch.latents, _reconstruct(denoiser, parts, batch, noise), _sample(denoiser, parts, batch, noise)]
    scale = parts.vae.config.scaling_factor
    device = denoiser.settings.device
    images = [parts.vae.decode(row.to(device) / scale).sample.float().cpu() for row in rows]
    grid = torch.cat([torch.cat(list(row), dim=-1) for row in images], dim=-2)  # (3, 3 H, B W)
    pixels = ((grid.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, Image.registered_extensions()[path.suffix])


def _reconstruct(denoiser: Denoiser, parts: PriorParts, batch: Batch, noise: Tensor) -> Tensor:
    """Noises and denoises in one step: (B, c, h, w)."""
    device = denoiser.settings.device
    alpha = parts.scheduler.alphas_cumprod[RECONSTRUCTION_TIMESTEP]
    noisy = add_noise(batch.latents, noise, alpha).to(device)
    timesteps = torch.full((len(noisy),), RECONSTRUCTION_TIMESTEP, device=device)
    output = denoiser(noisy, timesteps, batch.prompts, batch.region_masks)
    return predict_x0(output, noisy, alpha, parts.scheduler.config.prediction_type)


def _sample(denoiser: Denoiser, parts: PriorParts, batch: Batch, noise: Tensor) -> Tensor:
    """Denoises pure noise with DDIM: (B, c, h, w)."""
    device = denoiser.settings.device
    parts.scheduler.set_timesteps(denoiser.settings.reports.sampling_steps)
    latents = noise.to(device)
    for timestep in parts.scheduler.timesteps.tolist():
        output = denoiser(
            latents, torch.full((len(latents),), timestep, device=device), batch.prompts, batch.region_masks
        )
        latents = parts.scheduler.step(output, timestep, latents).prev_sample
    return latents
