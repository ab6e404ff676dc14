"""How sure the gain of a run is: its interval over images, and which masks it came from.

Shapes: N images, C classes.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..paired_statistics import INITIAL_IOU_BINS, compare


def gain_report(before: Sequence[Sequence[Tensor]], after: Sequence[Sequence[Tensor]], classes: Sequence[int]) -> dict:
    """The gain in mIoU, per cent, with its bootstrap 95 % interval, and by the masks' initial IoU.

    Args:
        before: for each image, its intersection, union, predicted and labelled area, (C,) each.
        after: likewise.
        classes: that the mean is over.
    """
    comparison = compare(_stack(before), _stack(after), classes)
    bins = zip(INITIAL_IOU_BINS, comparison.by_initial_iou, strict=True)
    return {
        'mIoU': _rounded(comparison.gain),
        'interval': [_rounded(bound) for bound in comparison.interval],
        'by_initial_iou': [
            {'from': low, 'to': high, 'gain': _rounded(gain), 'masks': count} for (low, high), (gain, count) in bins
        ],
    }


def gain_lines(report: dict[str, Any], name: str = 'mIoU') -> str:
    """The report in words."""
    if report['mIoU'] is None:
        return f'{name} gain: no labelled pixel'
    low, high = report['interval']
    bins = [
        f'{entry["gain"]:+.1f} from {entry["from"]}-{entry["to"]} ({entry["masks"]})'
        for entry in report['by_initial_iou']
        if entry['masks']
    ]
    return (
        f'{name} gain {report["mIoU"]:+.2f}, 95 % interval over images [{low:+.2f}, {high:+.2f}]\n'
        f'mean gain of masks by initial IoU (number): {", ".join(bins)}'
    )


def _rounded(figure: float) -> float | None:
    """Two digits; None for NaN, which JSON does not have."""
    return None if math.isnan(figure) else round(figure, 2)


def _stack(areas: Sequence[Sequence[Tensor]]) -> Tensor:
    """(N, 3, C) int64: intersection, predicted and labelled area."""
    return torch.stack([torch.stack([a[0], a[2], a[3]]).long() for a in areas])
