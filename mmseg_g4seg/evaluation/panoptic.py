"""Panoptic quality before and after refining: the record of an image, and the report of a run.

Shapes: C classes, K of them in the image, N images, S stages, H W image size. Counts are (..., 4, C) float64, see
`panoptic_quality`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .build import mean_seconds
from .panoptic_quality import SegmentInfo, mean_pq, panoptic_counts, panoptic_quality
from .records import COARSE
from .report import EvaluationReport, ImageFigures
from .statistics import compare_counts

Segmentation = tuple[Tensor, Sequence[SegmentInfo]]
"""An id map, (H, W) integer, and its segments."""


@dataclass(frozen=True, eq=False)
class PanopticRecord:
    """One image's share of a panoptic evaluation.

    Attributes:
        name: of the image.
        stages: S names, the coarse segments' first, the refined ones' last.
        pixels: of the image, H times W.
        changed: pixels with another id in the last map than in the first.
        classes: (K,) int64, those that a prediction or the truth has.
        counts: (S, 4, K) float64.
        seconds: that its stages took.
    """

    name: str
    stages: tuple[str, ...]
    pixels: int
    changed: int
    classes: Tensor
    counts: Tensor
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def before_after(self) -> tuple[float, float]:
        """PQ of the image before and after, per cent; NaN where it has no segment."""
        before, *_, after = (mean_pq(self.counts) * 100).tolist()
        return before, after

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it: `counts` by stage, lists over `classes`."""
        return {
            'name': self.name,
            'stages': list(self.stages),
            'pixels': self.pixels,
            'changed': self.changed,
            'classes': self.classes.tolist(),
            'counts': dict(zip(self.stages, self.counts.tolist(), strict=True)),
            'seconds': dict(self.seconds),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> 'PanopticRecord':
        """Reads what `as_dict` gave."""
        stages = tuple(content['stages'])
        counts = [torch.tensor(content['counts'][stage], dtype=torch.float64) for stage in stages]
        return cls(
            name=content['name'],
            stages=stages,
            pixels=content['pixels'],
            changed=content['changed'],
            classes=torch.tensor(content['classes'], dtype=torch.long),
            counts=torch.stack(counts),
            seconds=content['seconds'],
        )


def measure_panoptic(
    name: str,
    stages: Mapping[str, Segmentation],
    truth: Segmentation,
    num_classes: int,
    *,
    seconds: Mapping[str, float] | None = None,
) -> PanopticRecord:
    """Counts the segments of one image.

    Args:
        name: of the image.
        stages: id map (H, W) and segments of every stage.
        truth: likewise; 0 is void.
        num_classes: C.
        seconds: that its stages took.

    Raises:
        ValueError: if the truth has another size, or a predicted segment no pixel; names the image.
    """
    try:
        counts = torch.stack([panoptic_counts(*own, *truth, num_classes) for own in stages.values()])  # (S, 4, C)
    except ValueError as error:
        raise ValueError(f'{name}: {error}') from error
    maps = [id_map for id_map, _ in stages.values()]
    classes = counts.any(dim=0).any(dim=0).nonzero()[:, 0]
    changed = int((maps[0] != maps[-1]).sum())
    return PanopticRecord(name, tuple(stages), maps[0].numel(), changed, classes, counts[..., classes], seconds or {})


def build_panoptic_report(
    records: Sequence[PanopticRecord],
    class_names: Sequence[str],
    *,
    things: Sequence[int] = (),
    block: int = 1,
) -> EvaluationReport:
    """Sums up the records of a run; the renderers of mIoU reports show it.

    Args:
        records: one an image, all with the same stages.
        class_names: C names.
        things: classes that are things, which have means of their own, as the rest have; none are told apart when
            not given.
        block: neighbouring images that the bootstrap draws together, see `bootstrap_interval`.

    Raises:
        ValueError: if there is no record.
    """
    if not records:
        raise ValueError('expected the record of one image at least, got none')
    num_classes = len(class_names)
    counts = {stage: _dense(records, i, num_classes) for i, stage in enumerate(records[0].stages)}  # (N, 4, C)
    stuff = [c for c in range(num_classes) if c not in set(things)]
    gains = {
        stage: compare_counts(counts[COARSE], own, panoptic_quality, block=block)
        for stage, own in counts.items()
        if stage != COARSE
    }
    return EvaluationReport(
        class_names=class_names,
        images=_images(records, counts),
        class_pixels={},
        labelled=torch.zeros(num_classes, dtype=torch.long),
        mean_classes=range(num_classes),
        per_class={
            stage: {name: figure.numpy() for name, figure in panoptic_quality(own.sum(dim=0)).items()}
            for stage, own in counts.items()
        },
        gains={stage: own['PQ'] for stage, own in gains.items()},
        boundary_gains={},
        further_gains={name: {stage: own[name] for stage, own in gains.items()} for name in ('SQ', 'RQ')},
        seconds=mean_seconds([record.seconds for record in records]),
        prefix='',
        groups={'things': things, 'stuff': stuff} if things and stuff else {},
    )


def _dense(records: Sequence[PanopticRecord], stage: int, num_classes: int) -> Tensor:
    """Counts of one stage, of all images: (N, 4, C)."""
    counts = torch.zeros(len(records), 4, num_classes, dtype=torch.float64)
    for image, record in zip(counts, records, strict=True):
        image[:, record.classes] = record.counts[stage]
    return counts


def _images(records: Sequence[PanopticRecord], counts: Mapping[str, Tensor]) -> list[ImageFigures]:
    quality = {stage: (mean_pq(own) * 100).tolist() for stage, own in counts.items()}
    return [
        ImageFigures(r.name, {stage: values[i] for stage, values in quality.items()}, r.pixels, r.changed)
        for i, r in enumerate(records)
    ]
