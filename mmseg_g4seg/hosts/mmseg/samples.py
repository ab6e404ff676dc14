"""Reads the masks and the ground truth of mmseg's data samples, as an evaluator is given them: as dicts.

Shapes: C classes, H W image size.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from mmseg_g4seg.evaluation.records import stage_names
from mmseg_g4seg.io.image_headers import frame_note


def stage_label_maps(sample: dict[str, Any]) -> dict[str, Tensor]:
    """The mask of every stage, (H, W) int64 on the CPU; nothing refined, all are the prediction."""
    names = sample.get('stage_names', [])
    keys = ['coarse_sem_seg', *(f'stage{i}_sem_seg' for i in range(len(names) - 1)), 'pred_sem_seg']
    # without a refiner a run is an ordinary one, and its report shows no change instead of an error
    found = [_label_map(sample[key if key in sample else 'pred_sem_seg']) for key in keys]
    return dict(zip(stage_names(names), found, strict=True))


def read_truth(sample: dict[str, Any], num_classes: int, ignore_index: int) -> Tensor:
    """The ground truth of a sample: (H, W) int64 on the CPU, of the size of the prediction.

    Raises:
        ValueError: if there is none, it has another size, or ids that are neither a class nor
            `ignore_index` (which `IoUMetric` passes over); names the file.
    """
    path = sample.get('seg_map_path') or sample.get('img_path') or 'a sample without img_path'
    if 'gt_sem_seg' not in sample:
        raise ValueError(
            f"{path}: no ground truth: expected dict(type='LoadAnnotations') in the test pipeline and "
            'seg_map_path in data_prefix; without labels, RefinementMetric(format_only=True, output_dir=...)'
        )
    truth = _label_map(sample['gt_sem_seg'])
    # 34 raw Cityscapes ids under 19 classes: IoUMetric drops the others, and the figure is of something else
    unknown = ((truth < 0) | (truth >= num_classes)) & (truth != ignore_index)
    if unknown.any():
        ids = truth[unknown].unique().tolist()
        listed = ', '.join(map(str, ids[:8])) + (', ...' if len(ids) > 8 else '')
        reduced = ' (after reduce_zero_label took 1 off)' if sample.get('reduce_zero_label') else ''
        raise ValueError(
            f'{path}: expected label ids 0 to {num_classes - 1}, or {ignore_index} for pixels without a '
            f'label, got {listed}{reduced}: are these raw ids where training ids are expected? Check seg_map_suffix '
            'and reduce_zero_label of the data set and ignore_index of the metric; g4seg check-dataset lists all ids'
        )
    size = tuple(sample['pred_sem_seg']['data'].shape[-2:])
    if truth.shape != size:
        note = frame_note(Path(str(sample.get('img_path'))), (size[-2], size[-1]), (truth.shape[-2], truth.shape[-1]))
        likely = (
            ': LoadAnnotations belongs behind Resize in the test pipeline, and a label file has the size of its image'
        )
        raise ValueError(
            f'{path}: expected a ground truth of the size of the prediction {size}, got {tuple(truth.shape)}'
            f'{note or likely}'
        )
    return truth


def _label_map(pixel_data: Any) -> Tensor:
    """(1, H, W) or (H, W) -> (H, W) int64 on the CPU."""
    data = pixel_data['data']
    return data.reshape(data.shape[-2:]).long().cpu()
