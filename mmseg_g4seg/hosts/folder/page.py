"""The page of a run over a folder, and its masks for FiftyOne; both are read once more from its files."""

import json
from contextlib import suppress
from pathlib import Path

from mmseg_g4seg.evaluation.fiftyone import FiftyOneExport
from mmseg_g4seg.evaluation.files import write_page
from mmseg_g4seg.evaluation.html.extremes import PICTURES, extreme_records
from mmseg_g4seg.evaluation.html.notes import describe_run
from mmseg_g4seg.evaluation.html.pictures import Picture, draw_picture
from mmseg_g4seg.evaluation.records import COARSE, REFINED, ImageRecord
from mmseg_g4seg.evaluation.report import EvaluationReport
from mmseg_g4seg.io.images import to_pixels

from .plan import Job, Plan
from .refine import MaskWorker


def write_run_page(found: EvaluationReport, records: list[ImageRecord], plan: Plan, worker: MaskWorker) -> None:
    """Writes `OUT/metrics.json` and `OUT/report.html`.

    Args:
        found: the run's report, measured against labels.
        records: of its images.
        plan: of the run.
        worker: of any process; it refines nothing here.
    """
    jobs, pictures = {job.name: job for job in plan.jobs}, []
    for record in extreme_records(records, PICTURES):
        # a file that was taken away since is no reason to lose the run's report
        with suppress(OSError, ValueError):
            pictures.append(_draw(record, jobs[record.name], worker))
    settings = {'Settings': json.dumps(worker.state.settings, indent=1)}
    out = worker.task.out
    # not OUT's name: the same run into another folder leaves the same files
    notes = describe_run(f'Masks of {(worker.task.masks or worker.task.images).resolve().name}', settings)
    write_page(found, out, notes=notes, pictures=pictures, scratch=worker.state.scratch)


def export_fiftyone(found: EvaluationReport, plan: Plan, worker: MaskWorker) -> None:
    """Writes the task's folder for FiftyOne, if it has one; arguments as for `write_run_page`.

    Raises:
        BadFile: if a file was taken away since.
    """
    if worker.task.fiftyone is None:
        return
    export, measured = FiftyOneExport(worker.task.fiftyone), {image.name for image in found.images}
    for job in plan.jobs:
        if job.name in measured:
            case = worker.read(job)
            assert case.truth is not None
            maps = {COARSE: case.coarse_labels, REFINED: worker.read_result(job)}
            export.add(Path(str(job.images[0])), maps, case.truth, len(worker.task.classes))
    export.finish(found)


def _draw(record: ImageRecord, job: Job, worker: MaskWorker) -> Picture:
    case = worker.read(job)
    maps = {COARSE: case.coarse_labels, REFINED: worker.read_result(job)}
    assert case.truth is not None
    classes = worker.task.classes
    return draw_picture(record, to_pixels(case.image), maps, case.truth, classes, ignore_index=classes.ignore_index)
