"""Shares of pixels, or of decisions, that were right, with intervals over images.

Shapes: N images.
"""

import math

import torch
from torch import Tensor

from mmseg_g4seg.evaluation.statistics import bootstrap_interval

Share = dict[str, float | None]
"""`share`, `low` and `high` in per cent: of what was right, and its 95 % interval."""


def share_with_interval(right: Tensor, total: Tensor) -> Share:
    """Share, in per cent, of what was right, with its bootstrap 95 % interval over images.

    Args:
        right: (N,) counts.
        total: (N,) counts of what was asked, at least `right`.

    Returns:
        `share`, `low`, `high`; None where nothing was asked, and for the interval of one image.
    """
    return _difference(torch.zeros_like(right), right, total)


def gain_with_interval(before: Tensor, after: Tensor, total: Tensor) -> Share:
    """As `share_with_interval`, of the paired difference of two answers to the same questions."""
    return _difference(before, after, total)


def _difference(before: Tensor, after: Tensor, total: Tensor) -> Share:
    asked = int(total.sum())
    if not asked:
        return dict.fromkeys(('share', 'low', 'high'))
    low, high = bootstrap_interval(_as_areas(before, total), _as_areas(after, total), [0])
    known = {} if math.isnan(low) else {'low': low, 'high': high}
    return {'share': 100 * int((after - before).sum()) / asked, 'low': None, 'high': None, **known}


def _as_areas(right: Tensor, total: Tensor) -> Tensor:
    """Areas (N, 3, 1) of one class whose IoU is right / total: all that is predicted intersects."""
    return torch.stack([right, right, total], dim=1)[..., None]
