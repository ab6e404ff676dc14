"""Refines a panoptic prediction by any refiner: its segments are the classes.

Shapes: S segments of an image, H W image size.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.ops.panoptic import (
    VOID,
    decode_panoptic_deeplab,
    prediction_to_segments,
    segment_labels,
    segments_to_prediction,
)
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction

from .base import Refiner
from .fill_void import fills_void

SEGMENT_BORDER = 0.005
"""How wide borders of hard segments are unsure; a share of the image's longer side. Narrower than a semantic mask's
`BORDER_WIDTH`, at which good segments lose: see `projects/experiments`."""

SegmentInfo = Mapping[str, Any]
"""One segment: `id`, `category_id` (index of its class), and what else the model says of it."""


def refine_panoptic(
    refiner: Refiner,
    image: Tensor,
    panoptic_seg: Tensor,
    segments_info: Sequence[SegmentInfo] | None,
    classes: ClassList | Sequence[ClassName],
    *,
    query_masks: Tensor | None = None,
    label_divisor: int | None = None,
    soften: float = SEGMENT_BORDER,
    key: Key = 0,
) -> tuple[Tensor, list[dict[str, Any]] | None]:
    """Refines the segments of one image: each is a class of its own, prompted by its class's name.

    Void stays void unless the refiner has a stage `FillVoid`, and no pixel of a segment becomes void. Segments of the
    background class stay as they are; an image whose segments are all unknown to the prior (`ClassList.known`), too.

    Args:
        refiner: of `build_refiner`.
        image: (3, H, W) float RGB in [0, 1].
        panoptic_seg: (H, W) integer ids; an id that no segment has is void.
        segments_info: S segments. None where the ids are Panoptic-DeepLab's, class times `label_divisor` plus
            instance, -1 in void.
        classes: of the data set, with the refiner's own options (`ClassList.with_options`).
        query_masks: (S, H, W) float of at least 0, evidence for each segment, see `own_masks`; the hard segments
            are softened when not given.
        label_divisor: see `segments_info`.
        soften: of hard segments, deviation of the Gaussian as a share of the image's longer side.
        key: of the image.

    Returns:
        (H, W) ids, of the dtype and on the device of `panoptic_seg`, a tensor of its own; and the segments that still
        have a pixel, copied, `area` and `bbox` brought up to date where they were given; None where None was given.

    Raises:
        ValueError: if ids, classes or shapes do not fit.
    """
    classes = ClassList.of(classes)
    segments = _list_segments(panoptic_seg, segments_info, label_divisor)
    _check(image, panoptic_seg, segments, classes, query_masks)
    chosen = [i for i, segment in enumerate(segments) if segment['category_id'] != classes.background]
    # a prior that knows no class of the data set at all is told so by the refiner
    unknown = any(map(classes.knows, range(len(classes)))) and not any(
        classes.knows(segments[i]['category_id']) for i in chosen
    )
    refined = panoptic_seg.clone()
    if chosen and not unknown:
        moved = [segments[i] for i in chosen]
        coarse = segments_to_prediction(
            segment_labels(panoptic_seg, [segment['id'] for segment in moved]),
            None if query_masks is None else query_masks[chosen],
            len(moved),
            soften * max(panoptic_seg.shape),
        )
        refined = _refine(refiner, image, panoptic_seg, moved, coarse, classes, key)
        fixed = segment_labels(panoptic_seg, [s['id'] for s in segments if s['category_id'] == classes.background])
        refined = torch.where(fixed != VOID, panoptic_seg, refined)
    return refined, None if segments_info is None else remaining_segments(refined, segments_info)


def _refine(
    refiner: Refiner,
    image: Tensor,
    panoptic_seg: Tensor,
    segments: Sequence[SegmentInfo],
    coarse: Prediction,
    classes: ClassList,
    key: Key,
) -> Tensor:
    """Ids after refining, (H, W), dtype of `panoptic_seg`; `coarse` is over the segments."""
    refined = refiner.refine(image.to(coarse.probs.device), coarse, segment_classes(segments, classes), key=key)
    ids = [segment['id'] for segment in segments]
    return prediction_to_segments(refined.label_map, panoptic_seg, ids, fill_void=fills_void(refiner))


def segment_classes(segments: Sequence[SegmentInfo], classes: ClassList) -> ClassList:
    """The segments as a list of classes: two persons are two entries of one name, and none is the background."""
    own = [segment['category_id'] for segment in segments]
    palette = classes.palette and [classes.palette[c] for c in own]
    return ClassList([classes[c] for c in own], background=None, palette=palette, known=classes.known)


def remaining_segments(panoptic_seg: Tensor, segments: Sequence[SegmentInfo]) -> list[dict[str, Any]]:
    """Copies of the segments that have a pixel, with the `area` and `bbox` (x, y, width, height) that they have now.

    Args:
        panoptic_seg: (H, W) integer ids.
        segments: before.
    """
    labels = segment_labels(panoptic_seg, [segment['id'] for segment in segments])
    areas = torch.bincount(labels[labels != VOID], minlength=len(segments)).tolist()
    remaining = []
    for i, (segment, area) in enumerate(zip(segments, areas, strict=True)):
        if not area:  # panopticapi refuses a segment without a pixel
            continue
        changed: dict[str, Any] = {**segment}
        if 'area' in segment:
            changed['area'] = area
        if 'bbox' in segment:
            rows, cols = (labels == i).nonzero().unbind(dim=1)
            left, top = int(cols.min()), int(rows.min())
            changed['bbox'] = [left, top, int(cols.max()) - left + 1, int(rows.max()) - top + 1]
        remaining.append(changed)
    return remaining


def _list_segments(
    panoptic_seg: Tensor, segments_info: Sequence[SegmentInfo] | None, label_divisor: int | None
) -> Sequence[SegmentInfo]:
    if segments_info is not None:
        return segments_info
    if label_divisor is None:
        raise ValueError(
            'segments_info: expected a list of segments, got None; ids of Panoptic-DeepLab need label_divisor, which '
            "the data set's metadata has"
        )
    return decode_panoptic_deeplab(panoptic_seg, label_divisor)


def _check(
    image: Tensor, panoptic_seg: Tensor, segments: Sequence[SegmentInfo], classes: ClassList, evidence: Tensor | None
) -> None:
    if panoptic_seg.shape != image.shape[-2:] or panoptic_seg.is_floating_point():
        raise ValueError(
            f'panoptic_seg: expected integers {tuple(image.shape[-2:])} as the image has, got {panoptic_seg.dtype} '
            f'{tuple(panoptic_seg.shape)}'
        )
    ids = [segment['id'] for segment in segments]
    if len(set(ids)) < len(ids):
        raise ValueError(f'segments_info: expected different ids, got {sorted(ids)}')
    unknown = sorted({c for s in segments if not 0 <= (c := s['category_id']) < len(classes)})
    if unknown:
        raise ValueError(f'segments_info: expected category_id below {len(classes)}, one a class name, got {unknown}')
    if evidence is not None and evidence.shape != (len(segments), *panoptic_seg.shape):
        expected = (len(segments), *panoptic_seg.shape)
        raise ValueError(f'query_masks: expected {expected} for {len(segments)} segments, got {tuple(evidence.shape)}')
