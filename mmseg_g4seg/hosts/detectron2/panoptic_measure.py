"""PQ, SQ and RQ of `panoptic_seg` before and after, against the truth that `COCOPanopticEvaluator` reads, too.

Shapes: H W image size.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmseg_g4seg.evaluation.html.extremes import PICTURES, Extremes
from mmseg_g4seg.evaluation.html.segments import draw_segments
from mmseg_g4seg.evaluation.panoptic import PanopticRecord, Segmentation, build_panoptic_report, measure_panoptic
from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.evaluation.report import EvaluationReport
from mmseg_g4seg.io.panoptic_files import read_panoptic_json, read_panoptic_png
from mmseg_g4seg.ops.panoptic import decode_panoptic_deeplab
from mmseg_g4seg.refiners.panoptic import remaining_segments

from .class_names import read_metadata, segment_names
from .images import read_picture
from .measures import Measure, measures
from .outputs import COARSE as BEFORE
from .outputs import SECONDS


@measures('panoptic_seg')
class PanopticMeasure(Measure):
    """Counts segments as panopticapi does."""

    def __init__(self, dataset_name: str) -> None:
        """Args:
            dataset_name: registered name, with `panoptic_json` and `panoptic_root` in its metadata.

        Raises:
            ValueError: if it has no names or no truth.
        """
        metadata = read_metadata(dataset_name)
        for field in ('panoptic_json', 'panoptic_root'):
            if not getattr(metadata, field, None):
                raise ValueError(
                    f'data set {dataset_name!r} has no {field}, where its panoptic truth is: '
                    f'MetadataCatalog.get({dataset_name!r}).set({field}=...)'
                )
        self.names = segment_names(metadata)
        self.label_divisor = int(getattr(metadata, 'label_divisor', 1000))
        self.root = Path(metadata.panoptic_root)
        self.truth = read_panoptic_json(Path(metadata.panoptic_json))
        things = getattr(metadata, 'thing_dataset_id_to_contiguous_id', {})
        stuff = getattr(metadata, 'stuff_dataset_id_to_contiguous_id', {})
        # things first: in ADE20K the ids of stuff are those of all classes
        self.places = {i: self.names.index({'category_id': c}) for i, c in stuff.items()}
        self.places |= {i: self.names.index({'category_id': c, 'isthing': True}) for i, c in things.items()}
        self.things = sorted(self.places[i] for i in things)
        self._contiguous_things = set(things.values())
        self.extremes = Extremes(PICTURES)

    def record(self, inputs: Mapping[str, Any], output: Mapping[str, Any]) -> PanopticRecord:
        """Counts the segments of one image: `panoptic_seg` is ids (H, W) and their segments."""
        refined = output['panoptic_seg']
        coarse = output.get('panoptic_seg' + BEFORE, refined)
        entry = self.truth.annotations.get(inputs['image_id'])
        if entry is None:
            raise ValueError(f'{self.truth.path}: expected the truth of image {inputs["image_id"]!r}, found none')
        true = [{**s, 'category_id': self.places[s['category_id']]} for s in entry['segments_info']]
        stages = {COARSE: self._placed(*coarse), REFINED: self._placed(*refined)}
        truth = read_panoptic_png(self.root / entry['file_name']), true
        record = measure_panoptic(
            Path(str(inputs['file_name'])).name,
            stages,
            truth,
            len(self.names.classes),
            seconds=output.get('panoptic_seg' + SECONDS),
        )
        if self.extremes.wants(record):
            image = read_picture(str(inputs['file_name']))
            self.extremes.add([draw_segments(record, image, stages, truth, self.names.classes)])
        return record

    def report(self, records: Sequence[PanopticRecord]) -> EvaluationReport:
        """Sums up, things and stuff apart, too."""
        return build_panoptic_report(records, self.names.classes.labels, things=self.things)

    def _placed(self, id_map: Any, segments: Sequence[Mapping[str, Any]] | None) -> Segmentation:
        """Ids (H, W) and the segments that have a pixel, their category as a class's place."""
        if segments is None:
            decoded = decode_panoptic_deeplab(id_map, self.label_divisor)
            segments = [{**s, 'isthing': s['category_id'] in self._contiguous_things} for s in decoded]
        if not all('isthing' in s for s in segments):
            raise ValueError(
                f'segments_info: expected isthing, got {sorted(segments[0])}; RefinementEvaluator belongs before '
                'evaluators that take it out, such as COCOPanopticEvaluator'
            )
        placed = [{**s, 'category_id': self.names.index(s)} for s in segments]
        return id_map.cpu(), remaining_segments(id_map, placed)
