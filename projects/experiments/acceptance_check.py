"""Is the prior right when it accepts or rejects what a class gained? Against the class's IoU in that image.

Shapes: C classes, H W image size.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.evaluation.areas import class_areas, class_iou
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.acceptance import gained_pixels

from .shares import gain_with_interval, share_with_interval

DECISIONS = ('right_accepts', 'wrong_accepts', 'right_rejects', 'wrong_rejects')


def iou_rises(before: Prediction, after: Prediction, truth: Tensor) -> dict[int, float]:
    """By how much the IoU of each class that gained pixels rose by that alone, in [-1, 1].

    A class without any area before is taken as right (IoU 1): its first wrong pixel is a fall.

    Args:
        before: prediction.
        after: prediction, refined.
        truth: (H, W) int64 labels.
    """
    rises = {}
    for c, gained in gained_pixels(before, after).items():
        changed = torch.where(gained, c, before.label_map)
        ious = [class_iou(class_areas(m, truth, len(before.probs)))[c] for m in (before.label_map, changed)]
        old, new = (float(iou.nan_to_num(nan=1.0)) for iou in ious)
        rises[c] = new - old
    return rises


def count_decisions(error_rises: dict[int, float], iou_rises: dict[int, float]) -> Counter[str]:
    """Counts the decisions about one image's classes; those whose IoU stayed are left out.

    Args:
        error_rises: of each class, see `Acceptance.error_rises`: above 0 it is rejected.
        iou_rises: of each class.

    Returns:
        Counts of `DECISIONS`.
    """
    counts: Counter[str] = Counter()
    for c, rise in iou_rises.items():
        if rise:
            rejected = error_rises[c] > 0
            right = 'right' if rejected == (rise < 0) else 'wrong'
            counts[f'{right}_{"rejects" if rejected else "accepts"}'] += 1
    return counts


def summarise_decisions(counts: Sequence[Counter[str]]) -> dict[str, Any]:
    """Sums N images' counts, and gives shares of right decisions, in per cent with 95 % intervals.

    Returns:
        Sums of `DECISIONS`; `right`, share of right decisions; `always`, that of accepting always;
        `gain`, their difference.
    """
    columns = {name: torch.tensor([image[name] for image in counts]) for name in DECISIONS}
    total = torch.stack(list(columns.values())).sum(dim=0)
    right = columns['right_accepts'] + columns['right_rejects']
    always = columns['right_accepts'] + columns['wrong_rejects']
    return {
        **{name: int(column.sum()) for name, column in columns.items()},
        'right': share_with_interval(right, total),
        'always': share_with_interval(always, total),
        'gain': gain_with_interval(always, right, total),
    }
