"""Panoptic quality from counts that add up over images, exactly as panopticapi counts.

Shapes: C classes, P predicted and T true segments of an image, H W image size. Counts are (4, C) float64: the sum of
IoUs of matched segments, true positives, false positives, false negatives.

Source:
    Kirillov et al., Panoptic Segmentation, 2019; the treatment of void and crowds is panopticapi's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.panoptic import VOID, segment_labels

SegmentInfo = Mapping[str, Any]
"""One segment: `id` and `category_id`, index of its class; of a truth also `iscrowd` and `area`."""

TRUE_VOID = 0
"""Id of what the truth does not label."""


def panoptic_counts(
    id_map: Tensor,
    segments: Sequence[SegmentInfo],
    true_map: Tensor,
    true_segments: Sequence[SegmentInfo],
    num_classes: int,
) -> Tensor:
    """Matches the segments of one image with the true ones.

    Args:
        id_map: (H, W) integer, predicted; an id that no segment has is void.
        segments: P predicted segments.
        true_map: (H, W) integer; 0 is void.
        true_segments: T true ones. Their `area` counts where they give it, as in panopticapi; one without a pixel is
            a miss.
        num_classes: C.

    Returns:
        (4, C) float64.

    Raises:
        ValueError: if the maps differ in shape, or a predicted segment has no pixel.
    """
    if id_map.shape != true_map.shape:
        raise ValueError(f'expected ids {tuple(true_map.shape)} as the truth has, got {tuple(id_map.shape)}')
    # of two entries of one id the last counts, as in panopticapi's tables
    segments = list({s['id']: s for s in segments}.values())
    truths = list({s['id']: s for s in true_segments}.values())
    overlaps = _overlaps(id_map, segments, true_map, truths)  # (T + 2, P + 1)
    shared, void, areas = overlaps[:-2, :-1], overlaps[-2, :-1], overlaps.sum(dim=0)[:-1]
    if not areas.all():
        empty = [s['id'] for s, area in zip(segments, areas.tolist(), strict=True) if not area]
        raise ValueError(f'expected predicted segments with a pixel each, got none of {empty}')
    counted = overlaps.sum(dim=1)[:-2].tolist()
    own = torch.tensor([s['category_id'] for s in segments], dtype=torch.long)
    true = torch.tensor([s['category_id'] for s in truths], dtype=torch.long)
    crowd = torch.tensor([bool(s.get('iscrowd', 0)) for s in truths], dtype=torch.bool)
    true_areas = torch.tensor([s.get('area', area) for s, area in zip(truths, counted, strict=True)])
    ious = shared / (areas + true_areas[:, None].double() - shared - void)
    matched = (true[:, None] == own) & ~crowd[:, None] & (shared > 0) & (ious > 0.5)  # (T, P)
    missed = ~matched.any(dim=1) & ~crowd
    # what lies mostly in void, or in the crowd of its class, is no mistake; of several crowds the last counts
    crowd_row = torch.full((num_classes,), len(truths))
    for t in crowd.nonzero()[:, 0].tolist():
        crowd_row[true[t]] = t
    ignored = void + F.pad(shared, (0, 0, 0, 1)).gather(0, crowd_row[own][None])[0]
    wrong = ~matched.any(dim=0) & ~(ignored / areas > 0.5)
    rows, cols = matched.nonzero().unbind(dim=1)
    sums = [(true[rows], ious[rows, cols]), (true[rows], None), (own[wrong], None), (true[missed], None)]
    return torch.stack([torch.bincount(c, weights, minlength=num_classes).double() for c, weights in sums])


def _overlaps(
    id_map: Tensor, segments: Sequence[SegmentInfo], true_map: Tensor, truths: Sequence[SegmentInfo]
) -> Tensor:
    """Pixels that true and predicted segments share: (T + 2, P + 1) float64; the last rows are true void and ids that
    the truth does not list, the last column is predicted void."""
    own = segment_labels(id_map, [s['id'] for s in segments]).cpu()
    true = segment_labels(true_map, [s['id'] for s in truths]).cpu()
    own = torch.where(own == VOID, len(segments), own)
    unlisted = torch.where(true_map.cpu() == TRUE_VOID, len(truths), len(truths) + 1)
    true = torch.where(true == VOID, unlisted, true)
    rows, cols = len(truths) + 2, len(segments) + 1
    return torch.bincount((true * cols + own).flatten(), minlength=rows * cols).view(rows, cols).double()


def panoptic_quality(counts: Tensor) -> dict[str, Tensor]:
    """PQ, SQ and RQ: (..., 4, C) -> (..., C) float64 in [0, 1], NaN for a class with no segment at all."""
    ious, matched, wrong, missed = counts.double().unbind(dim=-2)
    weight = matched + wrong / 2 + missed / 2
    # a class that is there and never matched has quality 0, not none
    sq = torch.where(matched > 0, ious / matched, 0.0).where(weight > 0, torch.nan)
    return {'PQ': ious / weight, 'SQ': sq, 'RQ': matched / weight}


def mean_pq(counts: Tensor) -> Tensor:
    """PQ averaged over the classes that occur: (..., 4, C) -> (...) float64 in [0, 1]."""
    return panoptic_quality(counts)['PQ'].nanmean(dim=-1)
