"""Pictures of segments and of instances for a report's page, drawn as label maps are.

Shapes: S segments, T true ones, N instances, H W image size.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mmseg_g4seg.evaluation.mask_ap import Masks
from mmseg_g4seg.evaluation.panoptic import Segmentation
from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.ops.panoptic import VOID, segment_labels
from mmseg_g4seg.prediction import ClassList

from .pictures import Measured, Picture, draw_picture

SHOWN_SCORE = 0.5
"""Instances with a lower score are not painted: a detector gives a hundred an image, one above the other."""


def draw_segments(
    record: Measured,
    image: np.ndarray | None,
    stages: Mapping[str, Segmentation],
    truth: Segmentation,
    classes: ClassList,
) -> Picture:
    """Draws the segments of one image; those of one class share its colour, with lines between them.

    Args:
        record: of the image, measured against the truth.
        image: (H, W, 3) uint8 RGB, of any size; None where it cannot be read.
        stages: id map (H, W) and segments, `coarse` and `refined`; an id is the same segment in both.
        truth: likewise; void and crowds do not count.
        classes: C names, and their colours where they have some.
    """
    true = [s for s in truth[1] if not s.get('iscrowd', 0)]
    true_labels = segment_labels(truth[0], [s['id'] for s in true]).cpu()
    predicted = {s['id']: s for _, segments in stages.values() for s in segments}
    maps = {stage: segment_labels(ids, list(predicted)).cpu() for stage, (ids, _) in stages.items()}
    partners = _partners(list(maps.values()), true_labels, [s['category_id'] for s in predicted.values()],
                         [s['category_id'] for s in true])  # fmt: skip
    # a label a true segment, then one for each predicted segment that is none of them
    slots = [len(true) + i if partner is None else partner for i, partner in enumerate(partners)]
    table = torch.tensor([*slots, VOID])  # the last one is what VOID, -1, looks up
    owners = [s['category_id'] for s in (*true, *predicted.values())]
    colours = voc_palette(len(classes)).tolist() if classes.palette is None else classes.palette
    names = ClassList([classes.labels[c] for c in owners], background=None, palette=[colours[c] for c in owners])
    shown = {stage: table[labels].numpy() for stage, labels in maps.items()}
    return draw_picture(record, image, shown, true_labels.numpy(), names, ignore_index=VOID)


def _partners(
    maps: Sequence[Tensor], true_labels: Tensor, classes: Sequence[int], true_classes: Sequence[int]
) -> list[int | None]:
    """The true segment of each predicted one: of its class, the largest overlaps first, each true one once.

    Maps are (H, W) int64, `VOID` outside. Overlaps are summed over the stages: a pixel that moves changes no partner.
    """
    overlaps = torch.zeros(len(classes), len(true_classes), dtype=torch.long)
    for labels in maps:
        inside = (labels != VOID) & (true_labels != VOID)
        pairs = labels[inside] * len(true_classes) + true_labels[inside]
        overlaps += torch.bincount(pairs, minlength=overlaps.numel()).view(overlaps.shape)
    partners: list[int | None] = [None] * len(classes)
    taken: set[int] = set()
    pairs_found = overlaps.nonzero().tolist()
    for p, t in sorted(pairs_found, key=lambda pair: -int(overlaps[pair[0], pair[1]])):
        if partners[p] is None and t not in taken and classes[p] == true_classes[t]:
            partners[p] = t
            taken.add(t)
    return partners


def paint_instances(stages: Mapping[str, Masks], *, least_score: float = SHOWN_SCORE) -> dict[str, Segmentation]:
    """Instances as segments, those with higher scores above the others.

    Args:
        stages: masks (N, H, W) of each stage; an instance keeps class and score from stage to stage.
        least_score: of what is painted; a truth without scores is painted whole.

    Returns:
        By stage an id map, (H, W) int64 with 0 where nothing is, and its segments.
    """
    ids: dict[tuple[int, float], int] = {}
    painted: dict[str, Segmentation] = {}
    for stage, own in stages.items():
        scores = torch.arange(len(own.classes), 0, -1.0) if own.scores is None else own.scores.float()
        id_map, segments = torch.zeros(own.masks.shape[1:], dtype=torch.long), []
        for i in scores.argsort(stable=True).tolist():
            if own.scores is None or scores[i] >= least_score:
                category = int(own.classes[i])
                number = ids.setdefault((category, float(scores[i])), len(ids) + 1)
                id_map[own.masks[i]] = number
                crowd = own.crowd is not None and bool(own.crowd[i])
                segments.append({'id': number, 'category_id': category, 'iscrowd': int(crowd)})
        painted[stage] = id_map, segments
    return painted
