"""Affinity of each pixel to its neighbours at several distances, and averages under it (PAMR).

Shapes: D dilations, N = 8 D neighbours of a pixel, C maps, H W image size.

Source: pixel-adaptive mask refinement of Araslanov and Roth, "Single-Stage Semantic Segmentation from
Image Labels", arXiv 2005.08104.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

STD_FACTOR = 0.1
"""Width of the affinity kernel, as a share of the local standard deviation (PAMR's constant)."""
EPSILON = 1e-8
MAPS_AT_ONCE = 4
"""Maps of a large image that are averaged together; each is on its own, so this bounds memory and changes nothing
else."""
DIRECTIONS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def pixel_adaptive_average(
    image: Tensor,
    maps: Tensor,
    dilations: Sequence[int],
    iterations: int,
    *,
    std_factor: float = STD_FACTOR,
    memory_limit: int = 2**28,
) -> Tensor:
    """Replaces each pixel of the maps by an average of its neighbours, weighted by likeness, repeatedly.

    Args:
        image: (3, H, W) float; any affine scale, since differences are taken relative to deviations.
        maps: (C, H, W) float, such as class probabilities.
        dilations: distances, in pixels, of the 8 neighbours that each stands for.
        iterations: how often.
        std_factor: width of the kernel, in local standard deviations; SeeDiff takes 0.2.
        memory_limit: most bytes that affinities may take. A larger image goes through in strips of
            rows whose affinities are computed anew in each iteration: the same result to rounding,
            slower.

    Returns:
        (C, H, W), dtype of `maps`. Sums over C are kept.
    """
    height, width = image.shape[-2:]
    rows = max(1, memory_limit // (4 * 8 * len(dilations) * width))
    strips = [(top, min(top + rows, height)) for top in range(0, height, rows)]
    affinity = partial(neighbour_affinity, image, dilations, std_factor=std_factor)
    whole = affinity(*strips[0]) if len(strips) == 1 else None
    at_once = MAPS_AT_ONCE if whole is None else len(maps)
    result = torch.empty_like(maps)
    for place, own in zip(result.split(at_once), maps.split(at_once), strict=True):
        for _ in range(iterations):
            averaged = torch.empty_like(own)
            for strip in strips:
                averaged[:, slice(*strip)] = _average(
                    own, affinity(*strip) if whole is None else whole, dilations, *strip
                )
            own = averaged
        place.copy_(own)
    return result


def neighbour_affinity(
    image: Tensor, dilations: Sequence[int], top: int, bottom: int, *, std_factor: float = STD_FACTOR
) -> Tensor:
    """Likeness of the pixels in rows `top` to `bottom` to each of their neighbours.

    Args:
        image: (3, H, W) float.
        dilations: distances of the neighbours.
        top: first row.
        bottom: row after the last.
        std_factor: width of the kernel, in local standard deviations.

    Returns:
        (N, bottom - top, W) float32 that sums to 1 over neighbours: the softmax of minus the absolute
        difference over that width, averaged over colours.
    """
    image = image.float()
    centre = image[:, top:bottom]
    # the deviation counts the pixel itself once a dilation, as PAMR's kernels do
    count = 9 * len(dilations)
    mean = sum((n for n in _neighbours(image, dilations, top, bottom)), len(dilations) * centre) / count
    squares = sum(
        ((n - mean).square() for n in _neighbours(image, dilations, top, bottom)),
        len(dilations) * (centre - mean).square(),
    )
    width = std_factor * (squares / (count - 1)).sqrt() + EPSILON
    # one tensor of this size is the memory limit: filled, and made a softmax, in place
    affinity = image.new_empty(8 * len(dilations), *centre.shape[1:])
    for place, neighbour in zip(affinity, _neighbours(image, dilations, top, bottom), strict=True):
        place.copy_(((neighbour - centre).abs() / width).mean(dim=0).neg_())
    affinity.sub_(affinity.amax(dim=0)).exp_()
    return affinity.div_(affinity.sum(dim=0))


def _average(maps: Tensor, affinity: Tensor, dilations: Sequence[int], top: int, bottom: int) -> Tensor:
    """Weighted sum of the neighbours of rows `top` to `bottom`: (C, bottom - top, W)."""
    result = torch.zeros_like(maps[:, top:bottom])
    for weight, neighbour in zip(affinity, _neighbours(maps, dilations, top, bottom), strict=True):
        result.addcmul_(weight.to(maps), neighbour)
    return result


def _neighbours(maps: Tensor, dilations: Sequence[int], top: int, bottom: int) -> Iterator[Tensor]:
    """Views of the maps shifted to each neighbour, the border repeated: N of (C, bottom - top, W)."""
    height, width = maps.shape[-2:]
    for dilation in dilations:
        # of the strip's surroundings alone: of the whole image, each of 12 strips would copy it once a dilation
        above, below = min(dilation, top), min(dilation, height - bottom)
        edges = [dilation, dilation, dilation - above, dilation - below]
        padded = F.pad(maps[None, :, top - above : bottom + below], edges, mode='replicate')[0]
        for down, right in DIRECTIONS:
            y, x = dilation * (1 + down), dilation * (1 + right)
            yield padded[:, y : y + bottom - top, x : x + width]
