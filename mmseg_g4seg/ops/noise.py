"""Noise that depends on the seed and the image alone.

Shapes: c latent channels, h w latent grid.
"""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor


def noise_key(image: int | str, *, part: int | None = None, timestep: int | None = None) -> str:
    """The one maker of keys: what noise belongs to, so that two draws are alike only where they are meant to be.

    Args:
        image: key of the image.
        part: number of a part of it that has noise of its own: a view, or the class of a binary mask.
        timestep: where every noise level has a draw of its own.
    """
    return f'{image}' + ('' if part is None else f'/{part}') + ('' if timestep is None else f'@{timestep}')


def image_noise(shape: Sequence[int], *, seed: int, key: int | str, draw: int = 0) -> Tensor:
    """Draws standard normal noise for one image, on the CPU.

    Args:
        shape: (c, h, w).
        seed: of the run.
        key: of the image.
        draw: number of the draw, where an image takes several.

    Returns:
        (c, h, w) float32, the same on every machine, whatever else is drawn.
    """
    return torch.randn(tuple(shape), generator=image_generator(seed=seed, key=key, draw=draw))


def image_generator(*, seed: int, key: int | str, draw: int = 0) -> torch.Generator:
    """A generator on the CPU for one image; arguments as `image_noise`."""
    return torch.Generator().manual_seed(zlib.crc32(repr((seed, str(key), draw)).encode()))


def seeded_noise(shape: Sequence[int], seed: int) -> Tensor:
    """Draws standard normal noise that belongs to no image, on the CPU: float32 of a shape such as (1, c, h, w)."""
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed))
