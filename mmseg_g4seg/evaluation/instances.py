"""Mask AP before and after refining: the record of an image, and the report of a run.

Shapes: C classes, T IoU thresholds, R resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .build import mean_seconds
from .mask_ap import ClassMatches, Masks, average_precision, match_masks
from .records import COARSE
from .report import EvaluationReport, ImageFigures
from .statistics import compare_figures, resample_weights

FIGURES = ('AP', 'AP50', 'AP75')
"""Over all IoU thresholds, at the first, and at the sixth of them."""
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

    @property
    def before_after(self) -> tuple[float, float]:
        """AP within the image before and after, per cent; NaN where it has no true mask."""
        before, *_, after = (_alone(matches) for matches in self.stages.values())
        return before, after


def measure_instances(
    name: str, stages: Mapping[str, Masks], truth: Masks, *, seconds: Mapping[str, float] | None = None
) -> InstanceRecord:
    """Matches the masks of one image at every stage; the truth may have crowds."""
    matches = {stage: match_masks(masks, truth) for stage, masks in stages.items()}
    return InstanceRecord(name, math.prod(truth.masks.shape[1:]), matches, seconds or {})


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
    drawn = resample_weights(count, resamples=RESAMPLES, block=block).numpy()
    figures = {
        stage: [
            _figures(_precision(records, stage, num_classes, np.ones((1, count)))[0]),
            _figures(_precision(records, stage, num_classes, drawn)),
            _figures(np.concatenate([_precision([r], stage, num_classes, np.ones((1, 1))) for r in records])),
        ]
        for stage in records[0].stages
    }
    gains = {
        name: {
            stage: compare_figures(*([a[name], b[name]] for a, b in zip(figures[COARSE], own, strict=True)))
            for stage, own in figures.items()
            if stage != COARSE
        }
        for name in FIGURES
    }
    alone = {stage: (own[2][FIGURES[0]].nanmean(dim=-1) * 100).tolist() for stage, own in figures.items()}
    return EvaluationReport(
        class_names=class_names,
        images=[
            ImageFigures(r.name, {stage: values[i] for stage, values in alone.items()}, r.pixels, None)
            for i, r in enumerate(records)
        ],
        class_pixels={},
        labelled=torch.zeros(num_classes, dtype=torch.long),
        mean_classes=range(num_classes),
        per_class={stage: {name: f.numpy() for name, f in own[0].items()} for stage, own in figures.items()},
        gains=gains.pop(FIGURES[0]),
        boundary_gains={},
        further_gains=gains,
        seconds=mean_seconds([r.seconds for r in records]),
        prefix='',
    )


def _precision(records: Sequence[InstanceRecord], stage: str, num_classes: int, weights: np.ndarray) -> np.ndarray:
    """(R, T, C): AP of every resample, threshold and class."""
    own = [average_precision([r.stages[stage].get(c) for r in records], weights) for c in range(num_classes)]
    return np.stack(own, axis=-1)


def _figures(precision: np.ndarray) -> dict[str, Tensor]:
    """AP, AP50 and AP75 of (..., T, C) precisions: (..., C) each."""
    values = torch.from_numpy(precision)
    return dict(zip(FIGURES, (values.mean(dim=-2), values[..., 0, :], values[..., 5, :]), strict=True))


def _alone(matches: Mapping[int, ClassMatches]) -> float:
    """AP within an image, per cent; NaN where it has no true mask."""
    own = [average_precision([m], np.ones((1, 1))).mean() for m in matches.values()]
    return 100 * float(torch.tensor(own, dtype=torch.float64).nanmean())
