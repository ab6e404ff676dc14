"""Mask AP before and after refining: the record of an image, and the report of a run.

Shapes: C classes, T IoU thresholds, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from .build import mean_seconds
from .mask_ap import ClassMatches, Masks, average_precision, match_masks
from .records import COARSE
from .report import EvaluationReport, ImageFigures
from .statistics import Comparison, resample_weights

RESAMPLES = 500
"""Fewer than for mIoU: every resample ranks all detections anew, minutes for COCO's 5,000 images."""


@dataclass(frozen=True, eq=False)
class InstanceRecord:
    """One image's share of an evaluation of instances.

    Attributes:
        name: of the image.
        pixels: of the image.
        stages: by name, the coarse masks first: how the masks of each class that occurs were matched.
        seconds: that the stages took.
    """

    name: str
    pixels: int
    stages: Mapping[str, Mapping[int, ClassMatches]]
    seconds: Mapping[str, float] = field(default_factory=dict)


def measure_instances(
    name: str, stages: Mapping[str, Masks], truth: Masks, *, seconds: Mapping[str, float] | None = None
) -> InstanceRecord:
    """Matches the masks of one image at every stage; the truth may have crowds."""
    matches = {stage: match_masks(masks, truth) for stage, masks in stages.items()}
    return InstanceRecord(name, truth.masks[:1].numel(), matches, seconds or {})


def build_instance_report(
    records: Sequence[InstanceRecord], class_names: Sequence[str], *, block: int = 1
) -> EvaluationReport:
    """Sums up the records of a run: AP, AP50, AP75 of masks of any size; the renderers of mIoU reports show it.

    Args:
        records: one an image, all with the same stages.
        class_names: C names.
        block: neighbouring images that the bootstrap draws together, see `bootstrap_interval`.

    Raises:
        ValueError: if there is no record.
    """
    if not records:
        raise ValueError('expected the record of one image at least, got none')
    count, num_classes = len(records), len(class_names)
    whole = np.ones((1, count))
    drawn = resample_weights(count, resamples=RESAMPLES, block=block).numpy()
    weights = np.concatenate([whole, drawn])
    precision = {
        stage: _precision(records, stage, num_classes, weights) for stage in records[0].stages
    }  # (1 + R, T, C)
    alone = {stage: _alone(records, stage) for stage in records[0].stages}
    return EvaluationReport(
        class_names=class_names,
        images=[
            ImageFigures(r.name, {stage: figures[i] for stage, figures in alone.items()}, r.pixels, None)
            for i, r in enumerate(records)
        ],
        class_pixels={},
        labelled=torch.zeros(num_classes, dtype=torch.long),
        mean_classes=range(num_classes),
        per_class={
            stage: {'AP': own[0].mean(axis=0), 'AP50': own[0, 0], 'AP75': own[0, 5]} for stage, own in precision.items()
        },
        gains={
            stage: _compare(precision[COARSE], own, alone[COARSE], alone[stage])
            for stage, own in precision.items()
            if stage != COARSE
        },
        boundary_gains={},
        seconds=mean_seconds([r.seconds for r in records]),
        prefix='',
    )


def _precision(records: Sequence[InstanceRecord], stage: str, num_classes: int, weights: np.ndarray) -> np.ndarray:
    """(R, T, C): AP of every resample, threshold and class."""
    own = [average_precision([r.stages[stage].get(c) for r in records], weights) for c in range(num_classes)]
    return np.stack(own, axis=-1)


def _alone(records: Sequence[InstanceRecord], stage: str) -> list[float]:
    """AP within each image, per cent; NaN where it has no true mask."""
    return [
        100 * _nanmean(np.array([average_precision([own], np.ones((1, 1))).mean() for own in r.stages[stage].values()]))
        for r in records
    ]


def _compare(before: np.ndarray, after: np.ndarray, alone: Sequence[float], refined: Sequence[float]) -> Comparison:
    """Of (1 + R, T, C) precisions, the first of all images as they are, and of the images alone."""
    means = [[100 * _nanmean(sample.mean(axis=0)) for sample in own] for own in (before, after)]
    differences = np.array(means[1]) - np.array(means[0])
    low, high = np.nanquantile(differences[1:], [0.025, 0.975]).tolist()
    changes = np.array(refined) - np.array(alone)
    return Comparison(
        before=means[0][0],
        after=means[1][0],
        gain=float(differences[0]),
        interval=(low, high),
        better=int((changes > 0).sum()),
        worse=int((changes < 0).sum()),
        by_initial_iou=(),
    )


def _nanmean(values: np.ndarray) -> float:
    """Mean of what is there; NaN, without a warning, where nothing is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else float('nan')
