"""Noise that depends on the seed and the image alone.

Shapes: c latent channels, h w latent grid.
"""

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor


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
