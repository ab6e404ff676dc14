"""mIoU and boundary IoU of `sem_seg` before and after, against the truth that Detectron2's data sets name.

Shapes: H W image size.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog
from detectron2.utils.file_io import PathManager
from torch import Tensor

from mmseg_g4seg.evaluation.build import build_report
from mmseg_g4seg.evaluation.html.extremes import PICTURES, Extremes
from mmseg_g4seg.evaluation.html.pictures import draw_picture
from mmseg_g4seg.evaluation.records import COARSE, REFINED, ImageRecord, measure_image
from mmseg_g4seg.evaluation.report import EvaluationReport
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.prediction import IGNORE_INDEX

from . import outputs
from .class_names import read_metadata, semantic_classes
from .images import read_picture
from .measures import Measure, measures


@measures('sem_seg')
class SemanticMeasure(Measure):
    """`sem_seg` by masks of a class each. `SemSegEvaluator` finds boundaries in the label map, and classes in them
    that nobody predicted: eroded, labels 3 and 5 have 2 between them."""

    def __init__(self, dataset_name: str, *, boundary: bool = True) -> None:
        """Args:
            dataset_name: registered name.
            boundary: measure boundary IoU, too.

        Raises:
            ValueError: if the data set has no names, or no truth for an image.
        """
        metadata = read_metadata(dataset_name)
        self.classes = semantic_classes(metadata)
        self.names = self.classes.labels
        self.ignore_label = int(getattr(metadata, 'ignore_label', IGNORE_INDEX))
        self.boundary = boundary
        self.extremes = Extremes(PICTURES)
        self._truths = {}
        for item in DatasetCatalog.get(dataset_name):
            if 'sem_seg_file_name' not in item:
                raise ValueError(
                    f'data set {dataset_name!r}: no truth for {item["file_name"]}: expected sem_seg_file_name in its '
                    'dicts, a PNG of class indices'
                )
            self._truths[str(item['file_name'])] = str(item['sem_seg_file_name'])

    def record(self, inputs: Mapping[str, Any], output: Mapping[str, Any]) -> ImageRecord:
        """Counts the areas of one image: `sem_seg` and `sem_seg_coarse` are (C, H, W), decided by argmax."""
        scores = output['sem_seg']
        path = self._truths[str(inputs['file_name'])]
        stages = dict(output.get('sem_seg' + outputs.STAGES, {}))
        if stages:
            stages.popitem()  # the last one is the refined, as it is in `sem_seg`
        maps = {COARSE: output.get('sem_seg' + outputs.COARSE, scores).argmax(dim=0), **stages}
        maps = {name: labels.cpu() for name, labels in {**maps, REFINED: scores.argmax(dim=0)}.items()}
        truth = self._read(path, scores.shape[-2:])
        record = measure_image(
            Path(str(inputs['file_name'])).name,
            maps,
            truth,
            len(self.names),
            ignore_index=self.ignore_label,
            boundary=self.boundary,
            seconds=output.get('sem_seg' + outputs.SECONDS),
        )
        if self.extremes.wants(record):
            image = read_picture(str(inputs['file_name']))
            picture = draw_picture(record, image, maps, truth, self.classes, ignore_index=self.ignore_label)
            self.extremes.add([picture])
        return record

    def report(self, records: Sequence[ImageRecord]) -> EvaluationReport:
        """Sums up; the means are over the classes that the truth has, as `SemSegEvaluator`'s are."""
        return build_report(records, self.names)

    def _read(self, path: str, size: Sequence[int]) -> Tensor:
        """(H, W) int64."""
        try:
            # names of Detectron2's data sets may be addresses, which it fetches
            local = Path(PathManager.get_local_path(path))
            truth = read_index_png(local, len(self.names), self.ignore_label)
        except ValueError as error:
            raise ValueError(f'{path}: {error}; ids of the data set, where ids of training are expected?') from error
        if truth.shape != tuple(size):
            raise ValueError(f'{path}: expected a truth {tuple(size)} as the output has, got {tuple(truth.shape)}')
        return truth
