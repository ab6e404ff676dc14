"""What an evaluation keeps of an image: areas of every stage's mask, of the classes that occur.

Shapes: C classes, K of them in the image, N images, S stages, H W image size. Areas are (..., 3, C)
int64: intersection, predicted, labelled; see `areas`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.ops.boundary import boundary_areas

from .areas import class_areas

COARSE, REFINED = 'coarse', 'refined'
"""The first and the last stage; those between the refiners of a chain have the refiner's name."""


def count_areas(
    sample: dict, label_maps: dict[str, Tensor], num_classes: int, ignore_index: int, *, boundary: bool
) -> dict[str, Any]:
    """Counts a sample's areas; the result is small, since every process gathers those of all images.

    Args:
        sample: with its ground truth.
        label_maps: see `stage_label_maps`.
        num_classes: C.
        ignore_index: pixels of the ground truth that do not count.
        boundary: count the areas of boundaries, too.

    Returns:
        `name` of the image, `stages` (S names), `classes` (K,) int64, `areas` (S, 1, 3, K) int64, or
        (S, 2, 3, K) with those of boundaries second, and `seconds`.

    Raises:
        ValueError: if the ground truth is missing, has ids out of range or another size than the
            prediction; names the file.
    """
    truth = read_truth(sample, num_classes, ignore_index)
    size = tuple(label_maps[REFINED].shape)
    if truth.shape != size:
        raise ValueError(
            f'{_path(sample)}: expected a ground truth of the size of the prediction {size}, got '
            f'{tuple(truth.shape)}: LoadAnnotations belongs behind Resize in the test pipeline, and a label file has '
            'the size of its image'
        )
    counts = [class_areas, boundary_areas] if boundary else [class_areas]
    areas = torch.stack(
        [
            torch.stack([count(labels, truth, num_classes, ignore_index) for count in counts])
            for labels in label_maps.values()
        ]
    )
    classes = areas.flatten(0, 2).any(dim=0).nonzero()[:, 0]
    return {
        'name': Path(str(sample.get('img_path', 'image'))).name,
        'stages': list(label_maps),
        'classes': classes,
        'areas': areas[..., classes],
        'seconds': sample.get('stage_seconds', {}),
    }


def stage_label_maps(sample: dict) -> dict[str, Tensor]:
    """The mask of every stage, (H, W) int64 on the CPU; nothing refined, all are the prediction."""
    names = sample.get('stage_names', [])
    keys = {COARSE: 'coarse_sem_seg', **{name: f'stage{i}_sem_seg' for i, name in enumerate(names[:-1])}}
    final = _label_map(sample['pred_sem_seg'])
    stages = {name: _label_map(sample[key]) if key in sample else final for name, key in keys.items()}
    return {**stages, REFINED: final}


def read_truth(sample: dict, num_classes: int, ignore_index: int) -> Tensor:
    """The ground truth of a sample: (H, W) int64 on the CPU.

    Raises:
        ValueError: if there is none, or it has ids that are neither a class nor `ignore_index`
            (which `IoUMetric` passes over); names the file.
    """
    if 'gt_sem_seg' not in sample:
        raise ValueError(
            f"{_path(sample)}: no ground truth: expected dict(type='LoadAnnotations') in the test pipeline and "
            'seg_map_path in data_prefix; without labels, RefinementMetric(format_only=True, output_dir=...)'
        )
    truth = _label_map(sample['gt_sem_seg'])
    unknown = ((truth < 0) | (truth >= num_classes)) & (truth != ignore_index)
    if unknown.any():
        ids = truth[unknown].unique().tolist()
        listed = ', '.join(map(str, ids[:8])) + (', ...' if len(ids) > 8 else '')
        reduced = ' (after reduce_zero_label took 1 off)' if sample.get('reduce_zero_label') else ''
        raise ValueError(
            f'{_path(sample)}: expected label ids 0 to {num_classes - 1}, or {ignore_index} for pixels without a '
            f'label, got {listed}{reduced}: are these raw ids where training ids are expected? Check seg_map_suffix '
            'and reduce_zero_label of the data set and ignore_index of the metric; tools/check_dataset.py lists all ids'
        )
    return truth


def dense_areas(results: Sequence[dict[str, Any]], stage: int, kind: int, num_classes: int) -> Tensor:
    """The areas of one stage and kind (0 of masks, 1 of boundaries), of all images: (N, 3, C)."""
    areas = torch.zeros(len(results), 3, num_classes, dtype=torch.long)
    for image, result in zip(areas, results, strict=True):
        image[:, result['classes']] = result['areas'][stage, kind]
    return areas


def _label_map(pixel_data: Any) -> Tensor:
    """(1, H, W) or (H, W) -> (H, W) int64 on the CPU."""
    data = pixel_data['data']
    return data.reshape(data.shape[-2:]).long().cpu()


def _path(sample: dict) -> str:
    return str(sample.get('seg_map_path') or sample.get('img_path') or 'a sample without img_path')
