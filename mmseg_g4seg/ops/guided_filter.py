"""Guided upsampling: a coarse map that follows the edges of a fine image.

Shapes: N maps, h w coarse grid, H W image size.

Source: fast guided filter, He and Sun, arXiv 1505.00996 (He, Sun and Tang, ECCV 2010), colour guide.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .masks import resize_maps

Upsampling = Literal['bilinear', 'guided']
"""`bilinear`, or `guided`: along the image's edges."""


def check_upsampling(upsampling: Upsampling) -> Upsampling:
    """Raises ValueError, naming those that there are, unless it is one of `Upsampling`; gives it back."""
    if upsampling not in get_args(Upsampling):
        raise ValueError(f'upsampling: expected one of {get_args(Upsampling)}, got {upsampling!r}')
    return upsampling


def upsample(maps: Tensor, image: Tensor, upsampling: Upsampling) -> Tensor:
    """Brings maps to an image's grid: (N, h, w) under a (3, H, W) image in [0, 1] -> (N, H, W)."""
    return guided_upsample(maps, image) if upsampling == 'guided' else resize_maps(maps, image.shape[-2:])


def guided_upsample(maps: Tensor, image: Tensor, *, radius: int = 2, epsilon: float = 1e-3) -> Tensor:
    """Resizes maps to an image's grid, each as a locally linear function of the image's colours.

    Args:
        maps: (N, h, w) float on the coarse grid.
        image: (3, H, W) float RGB in [0, 1].
        radius: of the window that a linear function is fitted in, coarse cells.
        epsilon: variance of colour below which a window counts as flat, and the result is its mean.

    Returns:
        (N, H, W), dtype of `maps`.
    """
    given, maps, image = maps, maps.double(), image.double()  # differences of products of near-equal colours
    guide = resize_maps(image.to(maps), maps.shape[-2:])  # (3, h, w)
    mean_guide, mean_maps = _box(guide, radius), _box(maps, radius)
    products = guide[:, None] * guide[None]  # (3, 3, h, w)
    covariance = _box(products, radius) - mean_guide[:, None] * mean_guide[None]
    cross = _box(maps[:, None] * guide[None], radius) - mean_maps[:, None] * mean_guide[None]  # (N, 3, h, w)
    regular = covariance.permute(2, 3, 0, 1) + epsilon * torch.eye(3).to(maps)  # (h, w, 3, 3)
    slope = torch.linalg.solve(regular, cross.permute(2, 3, 1, 0)).permute(3, 2, 0, 1)  # (N, 3, h, w)
    offset = mean_maps - (slope * mean_guide[None]).sum(dim=1)
    size = image.shape[-2:]
    fine_slope = F.interpolate(_box(slope, radius), size, mode='bilinear', align_corners=False)
    fine_offset = F.interpolate(_box(offset, radius)[None], size, mode='bilinear', align_corners=False)[0]
    return ((fine_slope * image.to(maps)[None]).sum(dim=1) + fine_offset).to(given)


def _box(maps: Tensor, radius: int) -> Tensor:
    """Mean over a window, cut off at the border: (..., h, w) -> (..., h, w)."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    return F.avg_pool2d(flat, 2 * radius + 1, 1, radius, count_include_pad=False).view_as(maps)
