"""Refines a folder on a cluster: the folder host's plan, worker and state, in Ray's processes.

Shapes: C classes, H W image size.
"""

import pickle
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from mmseg_g4seg.hosts.folder.faults import BadFile, at_fault
from mmseg_g4seg.hosts.folder.lock import only_run
from mmseg_g4seg.hosts.folder.plan import Job
from mmseg_g4seg.hosts.folder.refine import MaskWorker
from mmseg_g4seg.hosts.folder.run import begin, finish
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.io.images import opening_megapixels, to_pixels
from mmseg_g4seg.registry import types_in

from .attempts import Attempts, start_ledger
from .cluster import LOCAL, connected, quiet_execution
from .files import FileOperator, dataset_of, resources_of, results_of
from .operators import record_of
from .pipeline import Pipeline, Resources, check_classes
from .rows import KEPT, Row, Setting, coarse_of, columns_of, kept_of


def refine_folder_on_cluster(
    task: FolderTask,
    *,
    address: str = LOCAL,
    workers: int = 1,
    batch_size: int = 8,
    strict: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Refines a folder of masks on a Ray cluster; files, report and what follows a kill are those of `refine_folder`.

    Images pass from the processes that read them to those that refine and those that write: this process has their
    names and records alone.

    A worker of a machine that is lost starts on another one, which must have room: a GPU, or half a CPU. Its images
    wait until there is one.

    Args:
        task: what to do; its folders must be there on every machine, on a shared disk or in an object store.
        address: of the cluster, see `connected`.
        workers: processes that refine; with the device `cuda` each has a GPU.
        batch_size: images a task.
        strict: stop at the first error.
        overwrite: start anew.

    Returns:
        The report, as in `OUT/report.json`.

    Raises:
        FileExistsError: if the folder holds something else, or another run is at work there.
        BadFile: if the run is strict and something is wrong with a file.
        ImportError: if Ray is missing, or a package on one of the machines.
        RuntimeError: if a process cannot be started.
        ValueError: if something does not fit, or a cluster of this machine alone has fewer GPUs than workers.
    """
    resources = resources_of(task.device, workers=workers, batch_size=batch_size)
    check_classes(task.refiner, task.classes)
    with connected(address, processes=2 * workers, gpus=resources.all_gpus), only_run(task.out):
        plan, state = begin(task, overwrite=overwrite)
        if jobs := state.remaining(plan.jobs):
            _run(MaskWorker(task, state), jobs, resources, strict)
        return finish(task, plan, state)


def _run(worker: MaskWorker, jobs: Sequence[Job], resources: Resources, strict: bool) -> None:
    task = worker.task
    parts = [*types_in(task.refiner), *types_in(task.coarse)]
    pipeline = Pipeline(Setting(task.classes, parts, threads=task.threads), resources, start_ledger())
    with quiet_execution():
        dataset = dataset_of(jobs, resources.batch_size)
        dataset = pipeline.in_tasks(dataset, ReadFiles, worker=worker)
        dataset = pipeline.refined(dataset, task.refiner, task.coarse)
        dataset = pipeline.in_tasks(dataset, WriteFiles, worker=worker)
        for row in results_of(dataset, len(jobs), 'mask'):
            if strict and row['error']:
                raise BadFile(row['path'], row['error'])


class MaskOperator(FileOperator):
    """Has the folder host's worker."""

    worker: MaskWorker


class ReadFiles(MaskOperator):
    """`job` -> `image` (H, W, 3) uint8, `key`, the coarse mask, unless a source makes it, and `truth` (H, W) int32."""

    def __init__(self, setting: Setting, attempts: Attempts, **options: Any) -> None:
        super().__init__(setting, attempts, **options)
        task = self.worker.task
        masks, truth = (
            () if task.masks is None else ('scores', 'labels', KEPT),
            () if task.truth is None else ('truth',),
        )
        self.made = ('image', *masks, *truth)

    def process(self, row: Row) -> Row:
        job, worker = pickle.loads(row['job']), self.worker
        try:
            with opening_megapixels(worker.task.megapixels):
                image = worker.read_image(job)
                coarse: Row = {}
                if worker.task.masks is not None:
                    prediction, kept = worker.read_mask(job, image)
                    coarse = {**columns_of(prediction), KEPT: np.array(kept, np.int32)}
                truth = worker.read_truth(job, image)
        except BadFile as error:
            return self.fail(row, error.reason, str(error.path))
        labels = {} if truth is None else {'truth': truth.numpy().astype(np.int32)}
        return {**row, 'key': job.images[0].name, 'image': to_pixels(image), **coarse, **labels}


class WriteFiles(MaskOperator):
    """Writes results and records; of a row it leaves `name`, and `path` and `error` of one at fault."""

    # a disk that is full is no image's fault
    fatal: ClassVar[tuple[type[Exception], ...]] = (ImportError, OSError)

    def process(self, row: Row) -> Row:
        job, classes = pickle.loads(row['job']), self.setting.classes
        try:
            with at_fault(job.blamed):
                content = self.worker.writer.encode(coarse_of(row, row['labels'].shape, self.setting), kept_of(row))
        except BadFile as error:
            return self.fail(row, error.reason, str(error.path))
        truth = torch.from_numpy(row['truth'].astype(np.int64)) if 'truth' in row else None
        self.worker.state.save(job, [content], record_of(row, truth, classes))
        return {'name': job.name, 'path': '', 'error': ''}

    def fail(self, row: Row, reason: str, path: str | None = None) -> Row:
        job = pickle.loads(row['job'])
        path = str(job.blamed) if path is None else path
        self.worker.state.fail(job, path, reason)
        return {'name': job.name, 'path': path, 'error': reason}

    def pass_on(self, row: Row, error: Mapping[str, str]) -> Row:
        return self.fail(row, error['error'], error.get('path'))
