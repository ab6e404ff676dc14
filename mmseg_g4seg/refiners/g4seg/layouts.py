"""Layouts: which classes of which image go through the denoiser together, and where they are.

Shapes: R regions of a layout, h w latent grid, H W image size, H' W' the prior's image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_g4seg.ops.masks import resize_maps


@dataclass(frozen=True)
class Layout:
    """Regions of one image, named and placed.

    Attributes:
        image_index: number of the image in the batch.
        classes: R class indices.
        region_masks: (R, h, w) float in [0, 1], on the latent grid.
        region_map: (H', W') int64, 1 to R where a region is and 0 elsewhere; None where no injector reads it.
    """

    image_index: int
    classes: tuple[int, ...]
    region_masks: Tensor
    region_map: Tensor | None = None


def class_regions(label_map: Tensor, classes: Sequence[int], grid: Sequence[int]) -> Tensor:
    """Share of each latent cell that a class covers: (H, W) int64 -> (R, h, w) float32."""
    # averaged, not sampled: a pole thinner than a latent cell still gets its share of it
    # class by class: stacked, 20 classes at 4096 x 4096 are 1.3 GB
    return torch.stack([resize_maps((label_map == c).float(), grid) for c in classes])
