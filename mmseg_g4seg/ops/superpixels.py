"""Superpixels: regions of like colour, and averages over them.

Shapes: N maps, H W image size, R C rows and columns of superpixels.

Source: SLIC, Achanta et al., SLIC Superpixels Compared to State-of-the-Art Superpixel Methods, TPAMI 2012; each pixel
chooses among the nine superpixels around it, as in gSLIC (Ren, Prisacariu and Reid, arXiv 1509.04232).
"""

from itertools import product

import torch
from torch import Tensor

ITERATIONS = 6


def superpixels(image: Tensor, side: float, compactness: float) -> Tensor:
    """Cuts an image into regions of like colour.

    Args:
        image: (3, H, W) float RGB in [0, 1].
        side: of a region, pixels, about.
        compactness: distance in colour, of 255, that weighs as much as one side: higher makes squares.

    Returns:
        (H, W) int64 numbers of regions, on the device of `image`; some numbers may have no pixel.
    """
    # on the CPU: sums of a GPU depend on the order of its threads, and a pixel between two regions would flicker
    pixels, (height, width) = image.cpu().float(), image.shape[-2:]
    rows, columns = max(1, round(height / side)), max(1, round(width / side))
    y, x = torch.arange(height), torch.arange(width)
    places = torch.stack(torch.meshgrid(y / side, x / side, indexing='ij'))
    features = torch.cat([pixels * 255 / compactness, places])  # (5, H, W)
    own_row, own_column = y * rows // height, x * columns // width
    regions = own_row[:, None] * columns + own_column
    for _ in range(ITERATIONS):
        counts = torch.bincount(regions.flatten(), minlength=rows * columns)
        centres = _sums(features, regions, rows * columns) / counts.clamp_min(1)  # (5, R*C)
        centres[:, counts == 0] = torch.inf  # what lost all its pixels must not attract any from the corner
        nearest = torch.full((height, width), torch.inf)
        for down, right in product((-1, 0, 1), repeat=2):
            row, column = (own_row + down).clamp(0, rows - 1), (own_column + right).clamp(0, columns - 1)
            candidate = row[:, None] * columns + column
            distance = (features - centres[:, candidate]).square().sum(dim=0)
            regions = torch.where(distance < nearest, candidate, regions)
            nearest = torch.minimum(nearest, distance)
    return regions.to(image.device)


def average_regions(maps: Tensor, regions: Tensor) -> Tensor:
    """Replaces every value by the mean of its region.

    Args:
        maps: (N, H, W) float.
        regions: (H, W) int64 numbers from 0.

    Returns:
        (N, H, W).
    """
    count = int(regions.max()) + 1
    sizes = torch.bincount(regions.flatten(), minlength=count).clamp_min(1)
    return (_sums(maps, regions, count) / sizes)[:, regions]


def _sums(maps: Tensor, regions: Tensor, count: int) -> Tensor:
    """Sums of (N, H, W) maps over each of so many regions: (N, count)."""
    zeros = torch.zeros(len(maps), count, dtype=maps.dtype, device=maps.device)
    return zeros.index_add_(1, regions.flatten(), maps.flatten(1))
