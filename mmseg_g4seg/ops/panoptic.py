"""Segments of a panoptic prediction as classes of a refiner, and back.

Shapes: S segments of an image, H W image size. An id map (H, W) holds a segment's id at each of its pixels;
void is every pixel whose id no segment has.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.prediction import Prediction

from .masks import soften_labels

VOID = -1
"""What void is called among the labels of a prediction: a pixel without a label, which no refiner gives one."""


def segment_labels(id_map: Tensor, ids: Sequence[int]) -> Tensor:
    """Numbers the segments of an image.

    Args:
        id_map: (H, W) integer.
        ids: S different ids.

    Returns:
        (H, W) int64: place of each pixel's segment in `ids`, `VOID` where no segment is.
    """
    labels = torch.full_like(id_map, VOID, dtype=torch.long)
    if not ids:
        return labels
    known, order = torch.tensor(list(ids), device=id_map.device).sort()
    # by place among the sorted ids: Panoptic-DeepLab's go up to 133,000, a comparison a segment would read S maps
    place = torch.searchsorted(known, id_map.long().contiguous()).clamp_max(len(known) - 1)
    return torch.where(known[place] == id_map, order[place], labels)


def segments_to_prediction(labels: Tensor, evidence: Tensor | None, num_segments: int, deviation: float) -> Prediction:
    """Makes segments the classes of a prediction: probabilities of the segments, given that a pixel is of one.

    Args:
        labels: (H, W) int64 of `segment_labels`.
        evidence: (S, H, W) float of at least 0 for each segment, such as score times mask of its query, whose squares
            the segments' probabilities are in proportion to; hard labels are softened where there is none.
        num_segments: S, at least 1.
        deviation: of that softening, pixels; see `soften_labels`.

    Returns:
        (S, H, W) float32 that sums to 1, and the labels. A segment is the most probable one at its own pixels. Void
        is sure of its most probable segment, and unlabelled.
    """
    void = labels == VOID
    if evidence is None:
        probs = soften_labels(labels, num_segments, deviation)
        silent = void & (probs == 1 / num_segments).all(dim=0)
    else:
        probs = _shares(labels, evidence)
        silent = probs.sum(dim=0) == 0
    # far from every segment nothing speaks for one: the largest is the most probable there, not the first
    areas = torch.bincount(labels[~void], minlength=num_segments)
    best = torch.where(silent, areas.argmax(), probs.argmax(dim=0))
    # sure of it, since updates that fill all uncertain pixels would lay void out as each candidate in turn
    sure = torch.zeros_like(probs).scatter_(0, best[None], 1.0)
    return Prediction(torch.where(void, sure, probs), labels)


def _shares(labels: Tensor, evidence: Tensor) -> Tensor:
    """Shares of the squared evidence, a segment's the largest at its own pixels: (S, H, W) -> (S, H, W) float32."""
    probs = evidence.to(torch.float32, copy=True)
    best, first = probs.max(dim=0)
    own = labels.clamp_min(0)[None]
    # a pixel that the query of another segment wins: argmax in a refiner would move it, whatever it saw
    lost = (labels != VOID) & (first != labels)
    probs.scatter_(0, own, torch.where(lost, (best * 1.001).clamp_min(1e-6), probs.gather(0, own)[0])[None])
    probs.div_(probs.sum(dim=0).clamp_min(1e-12))
    # two masks that meet say p and 1 - p of a pixel: p / (p + 1 - p) is what one of them says alone, and both together
    # have twice its log-odds. Of plain shares of 0.7 to 0.8, 88 % were right, and refiners moved borders that were good
    probs.square_()
    return probs.div_(probs.sum(dim=0).clamp_min(1e-12))


def prediction_to_segments(label_map: Tensor, id_map: Tensor, ids: Sequence[int], *, fill_void: bool = False) -> Tensor:
    """Brings refined labels back to ids.

    Args:
        label_map: (H, W) int64 of a refined prediction over S segments.
        id_map: (H, W) integer, before refining.
        ids: S ids.
        fill_void: let void take the segment that the labels give it.

    Returns:
        (H, W), dtype of `id_map`. Void stays void; a pixel of a segment stays with one, with its own where the
        labels give it none.
    """
    table = torch.tensor(list(ids), device=id_map.device, dtype=id_map.dtype)
    movable = (label_map >= 0) & (label_map < len(table))
    if not fill_void:
        movable &= segment_labels(id_map, ids) != VOID
    return torch.where(movable, table[label_map.clamp(0, len(table) - 1)], id_map)


def decode_panoptic_deeplab(panoptic_seg: Tensor, label_divisor: int) -> list[dict[str, int]]:
    """Lists the segments of a map that holds class times divisor plus instance, -1 in void.

    Args:
        panoptic_seg: (H, W) integer.
        label_divisor: of the model or its data set, such as 1000.

    Returns:
        A dict a segment: `id`, its value in the map, and `category_id`.
    """
    values = panoptic_seg.unique().tolist()
    return [{'id': value, 'category_id': value // label_divisor} for value in values if value >= 0]
