"""Refines saved panoptic predictions image by image; a run that was killed goes on where it stopped."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from mmseg_g4seg.evaluation.panoptic import PanopticRecord, build_panoptic_report, measure_panoptic
from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.evaluation.table import as_text
from mmseg_g4seg.hosts.folder.run_state import RunState
from mmseg_g4seg.hosts.folder.shares import Work, Worker, spread
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.images import read_image
from mmseg_g4seg.io.panoptic_files import panoptic_png
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.panoptic import refine_panoptic

from .page import write_run_report
from .predictions import read_prediction, read_truth
from .saved import PREDICTIONS, PanopticJob, SavedPanoptic


def refine_saved_panoptic(task: SavedPanoptic, *, workers: int = 1, overwrite: bool = False) -> dict[str, Any]:
    """Refines saved predictions into `OUT/predictions` and their JSON beside it; measures them against a truth.

    Args:
        task: what to do.
        workers: processes to start; not under torchrun, where every process takes a share.
        overwrite: start anew.

    Returns:
        In the first process `images` and `errors` as in `OUT/report.json`, and `table`, the text to show; in the
        others nothing.

    Raises:
        FileExistsError: if the folder holds something else, or another run is at work there.
        ValueError: if a JSON, a class or an option does not fit.
    """

    def find_work() -> Work:
        jobs, state = task.jobs(), RunState(task.out, task.settings())
        task.results.mkdir(parents=True, exist_ok=True)
        state.begin([job.result for job in jobs], overwrite=overwrite)
        return Work(PanopticWorker(task, state), jobs, lambda: _finish(task, state, jobs))

    return spread(task.out, find_work, workers=workers, title='refining', unit='image')


class PanopticWorker(Worker):
    """Refines the prediction of one image a call; its refiner is built at the first one."""

    task: SavedPanoptic

    @cached_property
    def refiner(self) -> Refiner:
        """On the task's device."""
        refiner = build_refiner(self.task.refiner)
        assert isinstance(refiner, Refiner)
        return refiner.to(self.task.device)

    def __call__(self, job: PanopticJob) -> None:
        """Writes the refined PNG of an image and its record; or notes the file that is at fault."""
        assert self.refiner  # one that cannot be built is the whole run's fault, and no file's
        try:
            content, record = self.refine(job)
            self.state.save(job, [content], record)
        except ImportError:  # the environment's fault, and so every file's
            raise
        except Exception as error:
            self.state.fail(job, job.masks[0], f'{type(error).__name__}: {error}')

    def refine(self, job: PanopticJob) -> tuple[bytes, dict[str, Any]]:
        """Refines one image and writes nothing: the content of its PNG, and its record."""
        if not job.images:
            raise ValueError(f'no image of the name {job.name} in {self.task.images}')
        entry = self.task.predictions.annotations[job.image_id]
        id_map, segments = read_prediction(self.task, job.masks[0], entry['segments_info'])
        image = read_image(job.images[0]).to(self.task.device)
        refined, left = refine_panoptic(
            self.refiner,
            image,
            id_map.to(image.device),
            segments,
            self.task.classes.with_options(self.refiner.class_options),
            soften=self.task.soften,
            key=job.images[0].name,
        )
        refined, left = refined.cpu(), left or []
        ids = [category['id'] for category in self.task.categories]
        record = {
            'segments_info': [{**s, 'category_id': ids[s['category_id']]} for s in left],
            'pixels': id_map.numel(),
            'changed': int((refined != id_map).sum()),
        }
        if self.task.truth is not None:
            stages = {COARSE: (id_map, segments), REFINED: (refined, left)}
            truth = read_truth(self.task, job.image_id)
            record['quality'] = measure_panoptic(job.name, stages, truth, len(self.task.classes)).as_dict()
        return panoptic_png(refined), record


def _finish(task: SavedPanoptic, state: RunState, jobs: Sequence[PanopticJob]) -> dict[str, Any]:
    """Writes JSON, report and table, and returns the report."""
    report = state.finish([job.name for job in jobs], {})
    segments = {image['name']: image['segments_info'] for image in report['images']}
    written = [job for job in jobs if job.name in segments]
    annotations = [
        {
            **task.predictions.annotations[job.image_id],
            'file_name': job.result.name,
            'segments_info': segments[job.name],
        }
        for job in written
    ]
    content = {**task.predictions.content, 'categories': task.categories, 'annotations': annotations}
    atomic_write(task.out / f'{PREDICTIONS}.json', json.dumps(content), scratch=state.scratch)
    table = summarise(report, task)
    records = [
        PanopticRecord.from_dict({**i['quality'], 'name': i['name']}) for i in report['images'] if 'quality' in i
    ]
    if records:
        names = [str(category['name']) for category in task.categories]
        quality = build_panoptic_report(records, names, things=task.things)
        write_run_report(quality, records, task, written, segments)
        table = f'{as_text(quality)}\n{table}'
    state.close()
    return {**report, 'table': table}


def summarise(report: Mapping[str, Any], task: SavedPanoptic) -> str:
    """How many predictions were refined, which could not be, and how many true images have none."""
    pixels = sum(image['pixels'] for image in report['images'])
    changed = sum(image['changed'] for image in report['images'])
    share = f', {100 * changed / pixels:.2f} % of their pixels changed' if pixels else ''
    lines = [f'{len(report["images"])} predictions refined{share}; {len(report["errors"])} errors']
    lines += [f'  {error["path"]}: {error["error"]}' for error in report['errors']]
    missing = len(set(task.truth.annotations) - set(task.predictions.annotations)) if task.truth else 0
    # panopticapi refuses such a file: a figure over some of the images must not pass for that of all
    return '\n'.join([*lines, f'{missing} images of the truth have no prediction'] if missing else lines)
