"""First stage: the autoencoder, on random crops.

Shapes: B crops, s crop side; crops (B, 3, s, s) float in [-1, 1].
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .images import TrainingImages
from .loop import train
from .precision import mixed_precision

KL_WEIGHT = 1e-6


def train_autoencoder(
    vae: Any,
    training: TrainingImages,
    validation: TrainingImages,
    *,
    steps: int,
    folder: Path,
    batch_size: int = 8,
    crop: int = 64,
    learning_rate: float = 6e-4,
    device: str = 'cpu',
    seed: int = 0,
) -> None:
    """Trains the autoencoder in place, and sets its scaling factor from the latents' deviation.

    The loss is the mean absolute error of the crop and of its differences between neighbours (so
    that texture counts), plus a trace of KL divergence.
    """
    vae.to(device)
    images = training.images.to(device)

    def loss(generator: torch.Generator) -> Tensor:
        crops = _random_crops(images, batch_size, crop, generator)
        with mixed_precision(device):
            posterior = vae.encode(crops).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator).to(device, non_blocking=True)
            decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        return reconstruction_loss(decoded.float(), crops) + KL_WEIGHT * posterior.kl().mean()

    def report(step: int) -> dict[str, float]:
        shown = _to_signed(validation.images[:16]).to(device)
        decoded = vae.decode(vae.encode(shown).latent_dist.mode()).sample
        error = (decoded - shown).square().mean() / 4
        return {'validation_psnr_db': float(-10 * error.log10())}

    train(vae, loss, steps=steps, learning_rate=learning_rate, folder=folder, name='vae', report=report, seed=seed)
    with torch.no_grad():
        latents = vae.encode(_to_signed(images[:256:4])).latent_dist.mode()
    vae.register_to_config(scaling_factor=round(float(1 / latents.std()), 5))


def reconstruction_loss(decoded: Tensor, crops: Tensor) -> Tensor:
    """Mean absolute error of (B, 3, s, s) crops and of their horizontal and vertical differences."""
    error = decoded - crops
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return F.l1_loss(decoded, crops) + 0.5 * edges


def _random_crops(images: Tensor, count: int, side: int, generator: torch.Generator) -> Tensor:
    height, width = images.shape[-2:]
    side = min(side, height, width)
    chosen = torch.randint(len(images), (count,), generator=generator).tolist()
    tops = torch.randint(height - side + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(width - side + 1, (count,), generator=generator).tolist()
    crops = [images[i, :, y : y + side, x : x + side] for i, y, x in zip(chosen, tops, lefts, strict=True)]
    return _to_signed(torch.stack(crops))


def _to_signed(images: Tensor) -> Tensor:
    """uint8 to float in [-1, 1]."""
    return images.float() / 127.5 - 1
