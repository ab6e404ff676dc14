"""How sure the gain of a run is: its interval over images, and which masks and images it came from.

Shapes: N images, C classes. Areas are (N, 3, C) int64, see `areas`.
"""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from .statistics import INITIAL_IOU_BINS, Comparison, compare

LISTED_IMAGES = 5
"""How many images of each direction a report names."""


def gain_report(before: Tensor, after: Tensor, classes: Sequence[int]) -> dict[str, Any]:
    """The gain in mIoU, per cent, with its bootstrap 95 % interval, and by the masks' initial IoU.

    Args:
        before: (N, 3, C).
        after: (N, 3, C).
        classes: that the mean is over.
    """
    comparison = compare(before, after, classes)
    bins = zip(INITIAL_IOU_BINS, comparison.by_initial_iou, strict=True)
    return {
        **_interval_report(comparison, 'mIoU'),
        'by_initial_iou': [
            {'from': low, 'to': high, 'gain': _rounded(gain), 'masks': count} for (low, high), (gain, count) in bins
        ],
    }


def boundary_gain_report(before: Tensor, after: Tensor, classes: Sequence[int]) -> dict[str, Any]:
    """The gain in mean boundary IoU, per cent, with its interval; arguments as for `gain_report`."""
    return _interval_report(compare(before, after, classes), 'mBIoU')


def gain_lines(report: dict[str, Any], name: str = 'mIoU') -> str:
    """The report in words."""
    if report[name] is None:
        return f'{name} gain: no labelled pixel'
    low, high = report['interval']
    line = f'{name} gain {report[name]:+.2f}, 95 % interval over images [{low:+.2f}, {high:+.2f}]'
    bins = [
        f'{entry["gain"]:+.1f} from {entry["from"]}-{entry["to"]} ({entry["masks"]})'
        for entry in report.get('by_initial_iou', [])
        if entry['masks']
    ]
    return f'{line}\nmean gain of masks by initial IoU (number): {", ".join(bins)}' if bins else line


def count_changes(images: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Counts the images whose mean IoU rose, fell, or stayed; one without labels stayed.

    Args:
        images: name, and coarse and refined mean IoU, of each.
    """
    gains = [image['refined'] - image['coarse'] for image in images]
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return {'images_better': better, 'images_worse': worse, 'images_same': len(gains) - better - worse}


def largest_changes(images: Sequence[dict[str, Any]], count: int = LISTED_IMAGES) -> dict[str, list[dict[str, Any]]]:
    """The images that gained most and those that lost most, the largest change first.

    Args:
        images: as for `count_changes`.
        count: of each, at most.

    Returns:
        `gained_most` and `lost_most`: name, coarse and refined mean IoU, gain; in per cent, rounded.
    """
    rows = [{**image, 'gain': image['refined'] - image['coarse']} for image in images]
    # sorting is stable: equal changes stay in the order of the data set
    gained = sorted((row for row in rows if row['gain'] > 0), key=lambda row: -row['gain'])
    lost = sorted((row for row in rows if row['gain'] < 0), key=lambda row: row['gain'])
    return {
        'gained_most': [_listed(row) for row in gained[:count]],
        'lost_most': [_listed(row) for row in lost[:count]],
    }


def change_lines(changes: dict[str, list[dict[str, Any]]]) -> str:
    """The images of `largest_changes`, a line each."""
    lines = []
    for key, rows in changes.items():
        lines.append(f'{key.replace("_", " ")}, mean IoU of the image:' + ('' if rows else ' none'))
        lines += [
            f'  {row["gain"]:+6.2f}  {row["coarse"]:6.2f} -> {row["refined"]:6.2f}  {row["name"]}' for row in rows
        ]
    return '\n'.join(lines)


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    return {'name': row['name'], **{key: _rounded(row[key]) for key in ('coarse', 'refined', 'gain')}}


def _interval_report(comparison: Comparison, name: str) -> dict[str, Any]:
    return {name: _rounded(comparison.gain), 'interval': [_rounded(bound) for bound in comparison.interval]}


def _rounded(figure: float) -> float | None:
    """Two digits; None for NaN, which JSON does not have."""
    return None if math.isnan(figure) else round(figure, 2)
