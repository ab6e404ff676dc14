"""The page of a run over saved panoptic predictions, drawn when all of them are refined."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mmseg_g4seg.evaluation.files import write_report
from mmseg_g4seg.evaluation.html.extremes import PICTURES, extreme_records
from mmseg_g4seg.evaluation.html.notes import describe_run
from mmseg_g4seg.evaluation.html.segments import draw_segments
from mmseg_g4seg.evaluation.panoptic import PanopticRecord
from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.evaluation.report import EvaluationReport
from mmseg_g4seg.io.images import read_pixels

from .predictions import read_prediction, read_truth
from .saved import PanopticJob, SavedPanoptic


def write_run_report(
    found: EvaluationReport,
    records: Sequence[PanopticRecord],
    task: SavedPanoptic,
    jobs: Sequence[PanopticJob],
    segments: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Writes figures, tables and `report.html` into OUT.

    Args:
        found: the run's report.
        records: of its images.
        task: of the run.
        jobs: of the images.
        segments: after refining, by the job's name.
    """
    by_name, pictures = {job.name: job for job in jobs}, []
    for record in extreme_records(records, PICTURES):
        job = by_name[record.name]
        # a file that was taken away since is no reason to lose the run's report
        with suppress(OSError, ValueError):
            before = read_prediction(task, job.masks[0], task.predictions.annotations[job.image_id]['segments_info'])
            after = read_prediction(task, job.result, segments[job.name])
            stages, image = {COARSE: before, REFINED: after}, read_pixels(job.images[0])
            pictures.append(draw_segments(record, image, stages, read_truth(task, job.image_id), task.classes))
    settings = {'Settings': json.dumps(task.settings(), indent=1)}
    notes = describe_run(f'Segments of {task.panoptic.resolve().name}', settings)
    write_report(found, task.out, notes=notes, pictures=pictures)
