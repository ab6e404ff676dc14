"""What an evaluation keeps of an image: pixels and areas of every stage's mask, of the classes that occur.

Shapes: C classes, K of them in the image, N images, S stages, H W image size. Areas are (..., 3, C)
int64: intersection, predicted, labelled; see `areas`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.ops.boundary import boundary_areas
from mmseg_g4seg.prediction import IGNORE_INDEX

from .areas import class_areas, mean_iou

COARSE, REFINED = 'coarse', 'refined'
"""The first and the last stage; those between the refiners of a chain have the refiner's name."""
MASKS, BOUNDARIES = 0, 1
"""The two kinds of areas, by their place in `ImageRecord.areas`."""
KIND_NAMES = ('areas', 'boundaries')


def stage_names(refiners: Sequence[str]) -> list[str]:
    """Stages of a run, in order: the last refiner's masks are the refined ones, those before it have its name."""
    return [COARSE, *refiners[:-1], REFINED]


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One image's share of an evaluation: small, since runs keep those of all images.

    Only the classes that occur are counted: of ADE20K's 150 an image has about ten.

    Attributes:
        name: of the image.
        stages: S names, the coarse mask's first, the refined one's last.
        pixels: of the image, H times W.
        changed: pixels with another label in the last mask than in the first.
        classes: (K,) int64, those that a mask or the truth has.
        class_pixels: (S, K) int64, pixels of each class in the whole mask, labelled by the truth or not.
        areas: (S, 2, 3, K) int64, of masks, then of boundaries; (S, 1, 3, K) without boundaries; None
            without a truth.
        seconds: of the coarse model and of every refiner, in order; those that were measured.
    """

    name: str
    stages: tuple[str, ...]
    pixels: int
    changed: int
    classes: Tensor
    class_pixels: Tensor
    areas: Tensor | None
    seconds: Mapping[str, float]

    @property
    def before_after(self) -> tuple[float, float]:
        """Mean IoU of the first and of the last mask, over the labelled classes, per cent; NaN where there are none."""
        if self.areas is None:
            return math.nan, math.nan
        before, after = (mean_iou(self.areas[stage, MASKS]).item() * 100 for stage in (0, -1))
        return before, after

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it: `class_pixels`, `areas` and `boundaries` by stage, lists over `classes`."""
        content: dict[str, Any] = {
            'name': self.name,
            'stages': list(self.stages),
            'pixels': self.pixels,
            'changed': self.changed,
            'seconds': dict(self.seconds),
            'classes': self.classes.tolist(),
            'class_pixels': dict(zip(self.stages, self.class_pixels.tolist(), strict=True)),
        }
        if self.areas is not None:
            for kind, areas in zip(KIND_NAMES, self.areas.unbind(dim=1), strict=False):
                content[kind] = dict(zip(self.stages, areas.tolist(), strict=True))
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> 'ImageRecord':
        """Reads what `as_dict` gave.

        Raises:
            ValueError: if it is something else, such as the record of an earlier version.
        """
        try:
            # a file may have sorted the keys: `stages` alone knows the order
            stages = tuple(content['stages'])
            kinds = [[content[kind][stage] for stage in stages] for kind in KIND_NAMES if kind in content]
            return cls(
                name=content['name'],
                stages=stages,
                pixels=content['pixels'],
                changed=content['changed'],
                classes=_integers(content['classes']),
                class_pixels=_integers([content['class_pixels'][stage] for stage in stages]),
                areas=torch.stack([_integers(kind) for kind in kinds], dim=1) if kinds else None,
                seconds=content['seconds'],
            )
        except KeyError as error:
            raise ValueError(
                f'expected the record of an image with {error.args[0]!r}, got {sorted(content)}: it is not of this '
                'version; start the run anew'
            ) from error


def measure_image(
    name: str,
    label_maps: Mapping[str, Tensor],
    truth: Tensor | None,
    num_classes: int,
    *,
    ignore_index: int = IGNORE_INDEX,
    boundary: bool = True,
    seconds: Mapping[str, float] | None = None,
) -> ImageRecord:
    """Counts the pixels and areas of one image.

    Args:
        name: of the image.
        label_maps: mask of every stage, (H, W) integer; values outside [0, C) are no class.
        truth: (H, W) integer; None where there is none.
        num_classes: C.
        ignore_index: pixels of the truth that do not count.
        boundary: count the areas of boundaries, too.
        seconds: that its stages took.

    Raises:
        ValueError: if the truth has another size than a mask.
    """
    maps = list(label_maps.values())
    class_pixels = torch.stack([_count_pixels(labels, num_classes) for labels in maps])  # (S, C)
    areas = None if truth is None else _count_areas(maps, truth, num_classes, ignore_index, boundary=boundary)
    occurs = class_pixels.any(dim=0) if areas is None else class_pixels.any(dim=0) | areas.flatten(0, 2).any(dim=0)
    classes = occurs.nonzero()[:, 0]  # (K,)
    return ImageRecord(
        name=name,
        stages=tuple(label_maps),
        pixels=maps[0].numel(),
        changed=int((maps[0] != maps[-1]).sum()),
        classes=classes,
        class_pixels=class_pixels[:, classes],
        areas=None if areas is None else areas[..., classes],
        seconds=seconds or {},
    )


def _count_pixels(label_map: Tensor, num_classes: int) -> Tensor:
    """Pixels of each class: (H, W) integer -> (C,) int64."""
    inside = (label_map >= 0) & (label_map < num_classes)
    return torch.bincount(label_map[inside].long(), minlength=num_classes)


def _count_areas(
    maps: Sequence[Tensor], truth: Tensor, num_classes: int, ignore_index: int, *, boundary: bool
) -> Tensor:
    """Areas of masks and, if asked for, of boundaries: S (H, W) integer -> (S, 1 or 2, 3, C) int64."""
    counts = (class_areas, boundary_areas) if boundary else (class_areas,)
    per_stage = [torch.stack([count(labels, truth, num_classes, ignore_index) for count in counts]) for labels in maps]
    return torch.stack(per_stage)


def dense_pixels(records: Sequence[ImageRecord], stage: int, num_classes: int) -> Tensor:
    """Pixels of each class in one stage's masks, of all images: (N, C) int64."""
    pixels = torch.zeros(len(records), num_classes, dtype=torch.long)
    for row, record in zip(pixels, records, strict=True):
        row[record.classes] = record.class_pixels[stage]
    return pixels


def dense_areas(records: Sequence[ImageRecord], stage: int, num_classes: int, *, kind: int = MASKS) -> Tensor:
    """The areas of one stage, of all images: (N, 3, C) int64.

    Args:
        records: N, all measured against a truth.
        stage: place in `stages`; -1 for the refined masks.
        num_classes: C.
        kind: `MASKS` or `BOUNDARIES`.
    """
    areas = torch.zeros(len(records), 3, num_classes, dtype=torch.long)
    for image, record in zip(areas, records, strict=True):
        assert record.areas is not None
        image[:, record.classes] = record.areas[stage, kind]
    return areas


def _integers(values: Any) -> Tensor:
    # an image of unlabelled pixels alone has empty lists, which torch takes for floats
    return torch.tensor(values, dtype=torch.long)
