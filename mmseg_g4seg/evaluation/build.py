"""From the records of all images to one report.

Shapes: C classes, N images. Areas are (..., 3, C) int64: intersection, predicted, labelled; see `areas`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from .areas import class_figures, class_iou, mean_iou
from .records import BOUNDARIES, COARSE, MASKS, REFINED, ImageRecord, dense_areas, dense_pixels
from .report import ACCURACY, BOUNDARY, REFINE, EvaluationReport, ImageFigures
from .statistics import Comparison, compare


def build_report(
    records: Sequence[ImageRecord],
    class_names: Sequence[str],
    *,
    classes: Sequence[int] | None = None,
    figures: Callable[[Tensor], Mapping[str, Any]] = class_figures,
    boundary_iou: Callable[[Tensor], Any] = class_iou,
    against: Sequence[ImageRecord] | None = None,
    block: int = 1,
) -> EvaluationReport:
    """Sums up the records of a run.

    Args:
        records: one an image, all with the same stages.
        class_names: C names.
        classes: that the means and gains are over; others have no figure, then. When not given, every class has
            its figures, and the means are over those that the truth has.
        figures: what is measured of a stage: (3, C) areas -> (C,) fractions by name, and `aAcc`.
        boundary_iou: (3, C) areas of boundaries -> (C,) fractions.
        against: records of another run on the same images, whose refined masks take the coarse ones' place.
        block: neighbouring images that the bootstrap draws together, see `bootstrap_interval`.
    """
    stages = _stages(records, against)
    pixels = {stage: dense_pixels(own, i, len(class_names)).sum(dim=0) for stage, (own, i) in stages.items()}
    masks, boundaries = (_areas(stages, len(class_names), kind) for kind in (MASKS, BOUNDARIES))
    labelled = masks[COARSE][:, 2].sum(dim=0) if masks else pixels[COARSE] * 0
    counted = labelled.nonzero()[:, 0].tolist() if classes is None else list(classes)
    return EvaluationReport(
        class_names=class_names,
        images=_image_figures(records, masks, compared=against is None),
        class_pixels=pixels,
        labelled=labelled,
        mean_classes=counted,
        per_class=_per_class(masks, boundaries, figures, boundary_iou, shown=classes),
        gains=_gains(masks, counted, block),
        boundary_gains=_gains(boundaries, counted, block),
        seconds=mean_seconds([record.seconds for record in records]),
    )


Stages = dict[str, tuple[Sequence[ImageRecord], int]]
"""Where each stage's masks are counted: records, and the stage's place in them."""


def _stages(records: Sequence[ImageRecord], against: Sequence[ImageRecord] | None) -> Stages:
    # a folder without one good mask has a report, too
    names = records[0].stages if records else (COARSE, REFINED)
    stages: Stages = {name: (records, i) for i, name in enumerate(names)}
    return stages if against is None else {**stages, COARSE: (against, -1)}


def _areas(stages: Stages, num_classes: int, kind: int) -> dict[str, Tensor]:
    """By stage, (N, 3, C); empty where this kind was not measured."""
    records, _ = stages[REFINED]
    if not records or records[0].areas is None or records[0].areas.shape[1] <= kind:
        return {}
    return {stage: dense_areas(own, i, num_classes, kind=kind) for stage, (own, i) in stages.items()}


def _per_class(
    masks: Mapping[str, Tensor],
    boundaries: Mapping[str, Tensor],
    figures: Callable[[Tensor], Mapping[str, Any]],
    boundary_iou: Callable[[Tensor], Any],
    *,
    shown: Sequence[int] | None,
) -> dict[str, dict[str, np.ndarray]]:
    """By stage and figure; NaN for the classes that are not shown, where those that are shown are given."""
    per_class: dict[str, dict[str, np.ndarray]] = {}
    for stage, areas in masks.items():
        measured = dict(figures(areas.sum(dim=0)))
        if boundaries:
            measured[BOUNDARY] = boundary_iou(boundaries[stage].sum(dim=0))
        per_class[stage] = {name: np.asarray(values) for name, values in measured.items()}
        if shown is not None:
            # not dropped: every column goes on having a row for each of C classes
            hidden = ~np.isin(np.arange(areas.shape[-1]), shown)  # (C,)
            for name in measured.keys() - {ACCURACY}:
                per_class[stage][name] = np.where(hidden, np.nan, per_class[stage][name])
    return per_class


def _gains(areas: Mapping[str, Tensor], classes: Sequence[int], block: int) -> dict[str, Comparison]:
    refined = {stage: own for stage, own in areas.items() if stage != COARSE}
    return {stage: compare(areas[COARSE], own, classes, block=block) for stage, own in refined.items()}


def _image_figures(
    records: Sequence[ImageRecord], masks: Mapping[str, Tensor], *, compared: bool
) -> list[ImageFigures]:
    """Of each image; `compared`: its record was counted against the masks that the report calls coarse."""
    ious = {stage: (mean_iou(areas) * 100).tolist() for stage, areas in masks.items()}
    return [
        ImageFigures(
            name=record.name,
            mean_iou={stage: values[i] for stage, values in ious.items()},
            pixels=record.pixels,
            changed=record.changed if compared else None,
        )
        for i, record in enumerate(records)
    ]


def mean_seconds(seconds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Averages the seconds of images: the coarse model's, every refiner's, and the refiners' together."""
    # one image that nobody refined has no seconds: a mean without it would be of other images than the figures
    stages = seconds[0] if seconds and all(seconds) else ()
    means = {COARSE: 0.0, **{stage: float(np.mean([s[stage] for s in seconds])) for stage in stages}}
    return {**means, REFINE: sum(value for stage, value in means.items() if stage != COARSE)}
