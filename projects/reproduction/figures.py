"""Reads the figures that a run left."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmseg_g4seg.hosts.folder.report import evaluate

DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError)
"""What reading raises where a file is missing, cut short, or of another make."""


@dataclass(frozen=True)
class Figures:
    """Attributes (per cent; None where no pixel is labelled):
    coarse: mIoU.
    refined: mIoU.
    gain: of the same images, from means that are not rounded.
    interval: the gain's 95 % interval.
    images: that were measured, of a run over seeds.
    bad: files that such a run could not use.
    """

    coarse: float | None
    refined: float | None
    gain: float | None
    interval: tuple[float, float] | None
    images: int = 0
    bad: int = 0


def read_evaluation(path: Path) -> Figures:
    """Figures in `metrics.json` of `tools/test.py`; raises one of `DAMAGED`."""
    report = json.loads(path.read_text())
    gain = report['gain']
    return Figures(report['coarse']['mIoU'], report['refined']['mIoU'], gain['mIoU'], _interval(*gain['interval']))


def read_refined_folder(path: Path) -> Figures:
    """Figures in `report.json` of `tools/refine_masks.py` with labels; raises one of `DAMAGED`."""
    report = json.loads(path.read_text())
    found = evaluate(report, report['settings']['classes']).gain
    if found is None:
        raise ValueError(f'{path}: expected masks that were measured against labels, found none')
    return Figures(
        _known(found.before),
        _known(found.after),
        _known(found.gain),
        _interval(*map(_known, found.interval)),
        images=len(report['images']),
        bad=len(report['errors']),
    )


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure


def _interval(low: Any, high: Any) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)
