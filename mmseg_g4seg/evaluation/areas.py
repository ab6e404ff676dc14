"""Intersection over union from areas that add up over images.

Shapes: C classes, H W image size. Areas are (3, C) int64: intersection, predicted, labelled; sums of
areas over images are areas, too.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.ops.masks import compared_pixels
from mmseg_g4seg.prediction import IGNORE_INDEX


def class_areas(label_map: Tensor, truth: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Counts the areas of one image.

    Args:
        label_map: (H, W) integer, predicted.
        truth: (H, W) integer, labelled.
        num_classes: C.
        ignore_index: pixels of the truth that do not count; others outside [0, C) do not, either.

    Returns:
        (3, C) int64.

    Raises:
        ValueError: if the shapes differ.
    """
    counted = compared_pixels(label_map, truth, num_classes, ignore_index)
    predicted, labelled = label_map[counted].long(), truth[counted].long()
    right = predicted[predicted == labelled]
    # a mask's own unlabelled pixels (255, -1) are of no class: they miss the truth, but add to no prediction
    predicted = predicted[(predicted >= 0) & (predicted < num_classes)]
    return torch.stack([torch.bincount(values, minlength=num_classes) for values in (right, predicted, labelled)])


def class_iou(areas: Tensor) -> Tensor:
    """Intersection over union: (..., 3, C) -> (..., C) float64 in [0, 1], NaN where a class has no area."""
    intersection, predicted, labelled = areas.double().unbind(dim=-2)
    return intersection / (predicted + labelled - intersection)


def class_figures(areas: Tensor) -> dict[str, Tensor]:
    """What is measured of a mask: (3, C) -> `IoU` and `Acc`, (C,) float64 in [0, 1], and `aAcc` of all pixels, ()."""
    intersection, _, labelled = areas.double()
    return {
        'aAcc': intersection.sum() / labelled.sum(),
        'IoU': class_iou(areas),
        'Acc': intersection / labelled,
    }


def mean_iou(areas: Tensor, classes: Sequence[int] | None = None) -> Tensor:
    """Mean over classes: (..., 3, C) -> (...) float64.

    Args:
        areas: of one image, or summed.
        classes: that count; those with a labelled pixel when not given.
    """
    iou = class_iou(areas)
    # a class with neither prediction nor label is NaN, and left out: as 0 it would pull down every small data set
    if classes is not None:
        return iou[..., list(classes)].nanmean(dim=-1)
    return iou.where(areas[..., 2, :] > 0, torch.nan).nanmean(dim=-1)
