"""A report as JSON and CSV, in per cent; where there is no figure, null or an empty cell.

Shapes: C classes.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .records import COARSE, REFINED
from .report import ACCURACY, EvaluationReport, ImageFigures
from .rows import csv_text
from .statistics import INITIAL_IOU_BINS, Comparison

GAIN_KEYS = {'mBIoU': 'boundary_gain'}
"""What the gain of a mean is called beside `gain`, where not by the mean's name."""


def as_json(report: EvaluationReport) -> str:
    """What `as_dict` has."""
    return json.dumps(as_dict(report), indent=1, allow_nan=False) + '\n'


def as_dict(report: EvaluationReport) -> dict[str, Any]:
    """Everything, by stage where it has one."""
    content: dict[str, Any] = {}
    for stage, means in report.means.items():
        by_class = {
            figure: dict(zip(report.class_names, _per_cent(values), strict=True))
            for figure, values in report.per_class[stage].items()
            if figure != ACCURACY
        }
        content[stage] = {**{name: _rounded(mean) for name, mean in means.items()}, 'classes': by_class}
    content.update(report.changes)
    for name, gain in report.refined_gains.items():
        key = GAIN_KEYS.get(name, f'{name}_gain') if name != report.headline else 'gain'
        bins = {'by_initial_iou': _bins(gain)} if gain.by_initial_iou and key == 'gain' else {}
        by_class = _by_class(name.removeprefix(report.prefix), gain, report.class_names)
        content[key] = {**_gain(name, gain), **bins, 'classes': by_class}
    content.update({key: [_listed(image) for image in images] for key, images in report.largest_changes.items()})
    content['seconds'] = report.seconds
    # not rounded: changes of 0.001 would be counted above, and look the same here
    content['images'] = [
        {'name': image.name, **{stage: None if math.isnan(iou) else iou for stage, iou in image.mean_iou.items()}}
        for image in report.images
    ]
    return content


def classes_csv(report: EvaluationReport) -> str:
    """A row a class: the leading figure and boundary IoU of every stage."""
    columns = [(stage, figure) for figure in report.shown_figures for stage in report.per_class]
    values = [_per_cent(report.per_class[stage][figure]) for stage, figure in columns]
    header = ['class', *(f'{stage}_{figure}' for stage, figure in columns)]
    return csv_text([header, *zip(report.class_names, *values, strict=True)])


def images_csv(report: EvaluationReport) -> str:
    """A row an image: its mean IoU at every stage, and the gain."""
    rows = []
    for image in report.images:
        # an image whose truth is all ignored keeps its row, so that the rows of two runs stand side by side
        figures = [*image.mean_iou.values(), image.gain]
        rows.append([image.name, *('' if math.isnan(figure) else f'{figure:.4f}' for figure in figures)])
    return csv_text([['name', *report.per_class, 'gain'], *rows])


def _gain(name: str, gain: Comparison) -> dict[str, Any]:
    return {name: _rounded(gain.gain), 'interval': [_rounded(bound) for bound in gain.interval]}


def _by_class(name: str, gain: Comparison, class_names: Sequence[str]) -> dict[str, Any]:
    return {
        class_name: {name: _rounded(own), 'interval': [_rounded(low), _rounded(high)]}
        for class_name, (own, low, high) in zip(class_names, gain.by_class, strict=True)
    }


def _bins(gain: Comparison) -> list[dict[str, Any]]:
    return [
        {'from': low, 'to': high, 'gain': _rounded(mean), 'masks': count}
        for (low, high), (mean, count) in zip(INITIAL_IOU_BINS, gain.by_initial_iou, strict=True)
    ]


def _listed(image: ImageFigures) -> dict[str, Any]:
    figures = {COARSE: image.mean_iou[COARSE], REFINED: image.mean_iou[REFINED], 'gain': image.gain}
    return {'name': image.name, **{key: _rounded(figure) for key, figure in figures.items()}}


def _per_cent(fractions: np.ndarray) -> list[float | None]:
    """(C,) fractions -> per cent, rounded."""
    return [_rounded(float(fraction) * 100) for fraction in fractions]


def _rounded(figure: float) -> float | None:
    """Two digits; None for NaN, which JSON does not have."""
    return None if math.isnan(figure) else round(figure, 2)
