"""Detectron2 evaluators for the outputs of a `RefinedModel`: the project's own table, and anyone's table of before."""

import itertools
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from mmseg_g4seg.evaluation.files import write_report
from mmseg_g4seg.evaluation.html.extremes import PICTURES, Extremes
from mmseg_g4seg.evaluation.html.notes import describe_run
from mmseg_g4seg.evaluation.metrics import as_metrics
from mmseg_g4seg.evaluation.table import as_text

from .class_names import read_metadata
from .measures import Measure, find_measure
from .outputs import COARSE

TASK = 'refinement'
"""What `RefinementEvaluator` calls its figures among those of other evaluators."""
LOGGER = logging.getLogger('detectron2.g4seg')
"""A child of the one that Detectron2's scripts set up, for the screen and for log.txt."""


class RefinementEvaluator(DatasetEvaluator):
    """Coarse and refined masks, measured in the same run, each with its gain and the gain's interval.

    It prints the table, and writes `metrics.json`, `classes.csv`, `images.csv`, `table.txt` and `report.html`. The
    figures of several processes are those of one. Put it before evaluators that rewrite `segments_info` in place.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: 'str | Path | None' = None,
        *,
        measures: 'Sequence[str | Measure]' = ('sem_seg',),
    ) -> None:
        """Args:
            dataset_name: registered name.
            output_dir: folder of the files; none are written when not given.
            measures: what is measured, by the output's name or built: `sem_seg` has mIoU and boundary IoU.

        Raises:
            ValueError: if the data set is not registered, has no names or no truth.
        """
        read_metadata(dataset_name)
        self.dataset_name = dataset_name
        self.measures = [m if isinstance(m, Measure) else find_measure(m)(dataset_name) for m in measures]
        self.output_dir = None if output_dir is None else Path(output_dir)
        # by place in the data set: the order in which processes give their shares must not change the bootstrap
        self._places = {str(item['file_name']): i for i, item in enumerate(DatasetCatalog.get(dataset_name))}
        self.reset()

    def reset(self) -> None:
        """Forgets all images."""
        self._records: list[dict[int, Any]] = [{} for _ in self.measures]
        for measure in self.measures:
            measure.extremes = Extremes(PICTURES)

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Measures the outputs of a batch, a dict an image.

        Raises:
            ValueError: if an output is not there, an image not of the data set, or its truth does not fit.
        """
        for item, output in zip(inputs, outputs, strict=True):
            place = self._places.get(str(item.get('file_name')))
            if place is None:
                raise ValueError(f'{item.get("file_name")}: expected an image of the data set that is evaluated')
            for measure, records in zip(self.measures, self._records, strict=True):
                if measure.output not in output:
                    raise ValueError(f'RefinementEvaluator: expected {measure.output!r}, got {sorted(output)}')
                records[place] = measure.record(item, output)

    def evaluate(self) -> 'OrderedDict[str, dict[str, float]] | None':
        """Sums up a run: prints the reports, writes them where wanted, returns the figures, in the main process."""
        comm.synchronize()
        gathered = comm.gather([(r, m.extremes.pictures) for r, m in zip(self._records, self.measures, strict=True)])
        if not comm.is_main_process():
            return None
        results: OrderedDict[str, dict[str, float]] = OrderedDict()
        for i, measure in enumerate(self.measures):
            # an image that two processes were given, to make their shares equal, counts once
            records = dict(itertools.chain.from_iterable(own[i][0].items() for own in gathered))
            if not records:
                raise ValueError('no image was evaluated: expected at least one in the data set')
            report = measure.report([records[place] for place in sorted(records)])
            LOGGER.info('%s, coarse and refined:\n%s', measure.output, as_text(report))
            if self.output_dir is not None:
                shown = Extremes(PICTURES)
                shown.add(itertools.chain.from_iterable(own[i][1] for own in gathered))
                notes = describe_run(f'{measure.output} of {self.dataset_name}', {})
                write_report(report, self.output_dir / measure.output, notes=notes, pictures=shown.pictures)
            results[TASK if len(self.measures) == 1 else f'{TASK}_{measure.output}'] = as_metrics(report)
        return results


class BeforeRefinement(DatasetEvaluator):
    """Gives an evaluator what the plain model predicted; its figures come under `coarse_...`.

    `[SemSegEvaluator(name), BeforeRefinement(SemSegEvaluator(name))]` gives `sem_seg` and `coarse_sem_seg` in one run.
    """

    def __init__(self, evaluator: DatasetEvaluator) -> None:
        """Args:
        evaluator: any; one that writes files needs a folder of its own.
        """
        self.evaluator = evaluator

    def reset(self) -> None:
        """Resets the evaluator."""
        self.evaluator.reset()

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Hands the plain outputs of a batch on, a dict an image; where nothing was refined, those that there are."""
        self.evaluator.process(inputs, [coarse_output(output) for output in outputs])

    def evaluate(self) -> 'OrderedDict[str, Any] | None':
        """The evaluator's figures, under `coarse_...`."""
        results = self.evaluator.evaluate()
        return results and OrderedDict((f'coarse_{task}', figures) for task, figures in results.items())


def coarse_output(output: Mapping[str, Any]) -> dict[str, Any]:
    """An output as the plain model gave it.

    Ids and `segments_info` are copied: `COCOPanopticEvaluator` adds 1 to Panoptic-DeepLab's ids, and in its dicts takes
    `isthing` out and rewrites `category_id`.
    """
    plain = {name: output.get(name + COARSE, value) for name, value in output.items() if COARSE not in name}
    if 'panoptic_seg' in plain:
        ids, segments = plain['panoptic_seg']
        plain['panoptic_seg'] = ids.clone(), segments and [dict(segment) for segment in segments]
    return plain
