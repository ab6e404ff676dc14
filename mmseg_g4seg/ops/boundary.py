"""Boundary IoU of per-class masks (Cheng et al., CVPR 2021, arXiv 2103.16562).

Shapes: C classes, H W image size.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.prediction import IGNORE_INDEX

from .masks import compared_pixels

WIDTH = 0.02
"""Width of the boundary, as a share of the image's diagonal (the paper's)."""


def boundary_pixels(label_map: Tensor, width: int) -> Tensor:
    """Pixels that lie within `width` pixels of another label, along rows, columns or both.

    The pixels of one label are the boundary region of its mask, so one pass serves all classes:
    a pixel is inside its mask where the square of `2 * width + 1` pixels around it has one label.

    Args:
        label_map: (H, W) integer or bool.
        width: at least 1; beyond the image counts as another label, as in the authors' code.

    Returns:
        (H, W) bool.

    Raises:
        ValueError: if the width is below 1, or the label map is not (H, W).
    """
    if width < 1 or label_map.ndim != 2:
        raise ValueError(f'expected labels (H, W) and a width of 1 or more, got {tuple(label_map.shape)} and {width}')
    # changes[j] is between pixels j - 1 and j; the first and the last are the image's border
    changes = F.pad(label_map[:, 1:] != label_map[:, :-1], (1, 1), value=True)  # (H, W + 1)
    row_varies = _any_of_next(F.pad(changes, (width - 1, width - 1)), 2 * width, dim=1)  # (H, W)
    changes = F.pad(label_map[1:] != label_map[:-1], (0, 0, 1, 1), value=True)  # (H + 1, W)
    changes[:-1] |= row_varies
    changes[1:] |= row_varies
    return _any_of_next(F.pad(changes, (0, 0, width - 1, width - 1)), 2 * width, dim=0)


def boundary_areas(label_map: Tensor, truth: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Areas of the boundary regions, one mask a class, so that no class is invented at a border.

    Args:
        label_map: (H, W) integer, predicted.
        truth: (H, W) integer, labelled.
        num_classes: C.
        ignore_index: pixels of the truth that do not count; others outside [0, C) do not, either.

    Returns:
        (3, C) int64 as `class_areas`, which `class_iou` and `mean_iou` take.

    Raises:
        ValueError: if the shapes differ.
    """
    counted = compared_pixels(label_map, truth, num_classes, ignore_index)
    width = max(1, round(WIDTH * math.hypot(*truth.shape)))
    labelled = boundary_pixels(truth, width) & counted
    predicted = boundary_pixels(label_map, width) & counted
    right = predicted & labelled & (label_map == truth)
    predicted &= (label_map >= 0) & (label_map < num_classes)
    regions = ((truth, right), (label_map, predicted), (truth, labelled))
    return torch.stack([_histogram(labels, region, num_classes) for labels, region in regions])


def _histogram(labels: Tensor, region: Tensor, num_classes: int) -> Tensor:
    """Pixels of each class in a region: (H, W) integer and bool -> (C,) int64."""
    # one bin more for the pixels outside: cheaper than picking those inside
    binned = torch.where(region, labels.long(), num_classes)
    return torch.bincount(binned.flatten(), minlength=num_classes + 1)[:num_classes]


def _any_of_next(marks: Tensor, count: int, dim: int) -> Tensor:
    """Whether any of `count` marks from each on is set: bool; `dim` gets shorter by `count - 1`."""
    reach = 1
    while reach < count:
        step = min(reach, count - reach)
        length = marks.shape[dim] - step
        marks = marks.narrow(dim, 0, length) | marks.narrow(dim, step, length)
        reach += step
    return marks
