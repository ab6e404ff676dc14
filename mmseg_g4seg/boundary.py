"""Boundary IoU of per-class masks (Cheng et al., CVPR 2021, arXiv 2103.16562).

Shapes: C classes, H W image size.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .areas import labelled_pixels

WIDTH = 0.02
"""Width of the boundary, as a share of the image's diagonal (the paper's)."""


def boundary_region(masks: Tensor, width: int) -> Tensor:
    """Pixels of each mask that lie within `width` pixels of its outside.

    Args:
        masks: (N, H, W) bool.
        width: at least 1; beyond the image counts as outside, as in the authors' code.

    Returns:
        (N, H, W) bool.
    """
    outside = F.pad((~masks).float(), [width] * 4, value=1.0)[:, None]
    side = 2 * width + 1
    near = F.max_pool2d(F.max_pool2d(outside, (side, 1), 1), (1, side), 1)[:, 0] > 0
    return masks & near


def boundary_areas(label_map: Tensor, truth: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Areas of the boundary regions, one mask a class, so that no class is invented at a border.

    Args:
        label_map: (H, W) integer, predicted.
        truth: (H, W) integer, labelled.
        num_classes: C.
        ignore_index: pixels of the truth that do not count.

    Returns:
        (3, C) int64 as `class_areas`, which `class_iou` and `mean_iou` take.
    """
    counted = labelled_pixels(truth, num_classes, ignore_index)
    width = max(1, round(WIDTH * math.hypot(*truth.shape)))
    areas = torch.zeros(3, num_classes, dtype=torch.long)
    present = sorted(set(truth[counted].unique().tolist()) | set(label_map[counted].unique().tolist()))
    for c in (c for c in present if 0 <= c < num_classes):
        regions = boundary_region(torch.stack([label_map == c, truth == c]), width) & counted
        areas[:, c] = torch.stack([(regions[0] & regions[1]).sum(), regions[0].sum(), regions[1].sum()])
    return areas
