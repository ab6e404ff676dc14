"""Images as the prior sees them: their latents, and the noise that is drawn for them.

Shapes: N layouts in a pass, c latent channels, h w latent grid, H W image size, H' W' the prior's image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.noise import image_noise, noise_key
from mmseg_g4seg.prediction import Key


@dataclass(frozen=True)
class EncodedImage:
    """What is computed once for an image, however many classes it has.

    Attributes:
        image: (3, H, W) float32 RGB in [0, 1], as given.
        pixels: (3, H', W') likewise, at the prior's image size.
        latents: (c, h, w) float32 clean latents.
        key: of its noise.
    """

    image: Tensor
    pixels: Tensor
    latents: Tensor
    key: Key


def encode_images(
    prior: DiffusionPrior, images: Sequence[Tensor], keys: Sequence[Key], size: Sequence[int]
) -> list[EncodedImage]:
    """Resizes and encodes each image once, alone, so that its latents do not depend on the batch.

    Args:
        prior: whose autoencoder encodes.
        images: (3, H, W) float RGB in [0, 1] each.
        keys: of their noise, one an image.
        size: (H', W').
    """
    encoded: list[EncodedImage] = []
    pairs = list(zip(images, keys, strict=True))
    for attempt in MemoryBudget(1).attempts(pairs, prior.device):
        with attempt as batch:
            encoded += [_encode(prior, image, key, size) for image, key in batch]
    return encoded


def _encode(prior: DiffusionPrior, image: Tensor, key: Key, size: Sequence[int]) -> EncodedImage:
    # the whole image, whatever its sides: a crop would hide the place that a pixel could be matched to
    own = image.to(prior.device, torch.float32)
    pixels = resize_maps(own, size).clamp(0, 1)
    return EncodedImage(own, pixels, prior.encode_images(pixels[None])[0], key)


def latents_and_noise(
    images: Sequence[EncodedImage], behind: Sequence[int], *, seed: int, timestep: int | None = None, draw: int = 0
) -> tuple[Tensor, Tensor]:
    """Clean latents and noise of the image behind each of N layouts: (N, c, h, w) twice.

    Layouts of one image get the same noise; timestep and draw tell an image's draws apart.

    Args:
        images: encoded images.
        behind: N numbers of images.
        seed: of the noise.
        timestep: that the draw is for; None where all timesteps see the same draw.
        draw: number of the draw.
    """
    numbers = sorted(set(behind))
    like = images[numbers[0]].latents
    # by image and timestep alone, so that batch, order, device and number of GPUs change nothing
    keys = [noise_key(images[i].key, timestep=timestep) for i in numbers]
    drawn = torch.stack([image_noise(like.shape, seed=seed, key=key, draw=draw) for key in keys])
    noise = dict(zip(numbers, drawn.to(like), strict=True))  # drawn on the CPU, moved at once
    return torch.stack([images[i].latents for i in behind]), torch.stack([noise[i] for i in behind])
