"""Mask AP of `instances` before and after, against the annotations of Detectron2's data sets.

Shapes: N instances, H W image size.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import Instances, polygons_to_bitmask
from torch import Tensor

from mmseg_g4seg.evaluation.html.extremes import PICTURES, Extremes
from mmseg_g4seg.evaluation.html.segments import draw_segments, paint_instances
from mmseg_g4seg.evaluation.instances import InstanceRecord, build_instance_report, measure_instances
from mmseg_g4seg.evaluation.mask_ap import Masks
from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.evaluation.report import EvaluationReport
from mmseg_g4seg.prediction import ClassList

from .class_names import instance_names, read_metadata
from .images import read_picture
from .measures import Measure, measures
from .outputs import COARSE as BEFORE
from .outputs import SECONDS


@measures('instances')
class InstanceMeasure(Measure):
    """AP, AP50 and AP75 of masks of any size, as COCO defines them."""

    def __init__(self, dataset_name: str) -> None:
        """Args:
            dataset_name: registered name.

        Raises:
            ValueError: if it has no names, or an image no annotations.
        """
        self.classes = ClassList(instance_names(read_metadata(dataset_name)))
        self.extremes = Extremes(PICTURES)
        self._items = {str(item['file_name']): item for item in DatasetCatalog.get(dataset_name)}
        without = next((name for name, item in self._items.items() if 'annotations' not in item), None)
        if without is not None:
            raise ValueError(f'data set {dataset_name!r}: expected annotations in its dicts, found none for {without}')

    def record(self, inputs: Mapping[str, Any], output: Mapping[str, Any]) -> InstanceRecord:
        """Matches the masks of one image: `instances` with `pred_masks` (N, H, W)."""
        refined = output['instances']
        coarse = output.get('instances' + BEFORE, refined)
        item = self._items[str(inputs['file_name'])]
        stages = {COARSE: _predicted(coarse), REFINED: _predicted(refined)}
        truth, name = _true(item, refined.image_size), Path(str(inputs['file_name'])).name
        record = measure_instances(name, stages, truth, seconds=output.get('instances' + SECONDS))
        if self.extremes.wants(record):
            image, (true,) = read_picture(str(inputs['file_name'])), paint_instances({'': truth}).values()
            self.extremes.add([draw_segments(record, image, paint_instances(stages), true, self.classes)])
        return record

    def report(self, records: Sequence[InstanceRecord]) -> EvaluationReport:
        """Sums up."""
        return build_instance_report(records, self.classes.labels)


def _predicted(instances: Instances) -> Masks:
    own = instances.to('cpu')
    return Masks(own.pred_masks > 0, own.pred_classes, own.scores)


def _true(item: Mapping[str, Any], size: Sequence[int]) -> Masks:
    """Of a data set's dict."""
    annotations = item['annotations']
    masks = [_mask(annotation['segmentation'], size) for annotation in annotations]
    return Masks(
        torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool),
        torch.tensor([annotation['category_id'] for annotation in annotations], dtype=torch.long),
        crowd=torch.tensor([bool(annotation.get('iscrowd', 0)) for annotation in annotations], dtype=torch.bool),
    )


def _mask(segmentation: Any, size: Sequence[int]) -> Tensor:
    """(H, W) bool of polygons, a run-length encoding or an array."""
    if isinstance(segmentation, list):
        found = polygons_to_bitmask([np.asarray(p, float) for p in segmentation], int(size[0]), int(size[1]))
    elif isinstance(segmentation, dict):
        from pycocotools import mask as rle

        found = rle.decode(segmentation)
    else:
        found = np.asarray(segmentation)
    if found.shape != tuple(size):
        raise ValueError(f'expected a true mask {tuple(size)} as the output has, got {found.shape}')
    return torch.from_numpy(found.astype(bool))
