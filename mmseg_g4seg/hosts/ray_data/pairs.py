"""Generates a data set on a cluster: the generate host's jobs, worker and state, in Ray's processes."""

import pickle
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import ray

from mmseg_g4seg.hosts.folder.lock import only_run
from mmseg_g4seg.hosts.folder.run_state import FileJob
from mmseg_g4seg.hosts.generate.run import PairWorker, begin
from mmseg_g4seg.hosts.generate.task import GenerateTask
from mmseg_g4seg.registry import types_in

from .attempts import start_ledger
from .cluster import LOCAL, connected, quiet_execution
from .files import FileOperator, cause_of, dataset_of, resources_of, results_of
from .pipeline import ACTOR_CPUS, Pipeline, Resources
from .rows import Row, Setting


def generate_folder_on_cluster(
    task: GenerateTask, *, address: str = LOCAL, workers: int = 1, overwrite: bool = False
) -> dict[str, Any]:
    """Writes a data set on a Ray cluster; files, report and what follows a kill are those of `generate_folder`.

    Args:
        task: what to do; its folder must be there on every machine, on a shared disk or in an object store.
        address: of the cluster, see `connected`.
        workers: processes that draw; with the device `cuda` each has a GPU.
        overwrite: start anew.

    Returns:
        The report, as in `OUT/report.json`.

    Raises:
        ValueError: if something does not fit the prior, or a cluster of this machine alone has fewer GPUs than workers;
            nothing is written then.
        FileExistsError: if the folder holds something else, or another run is at work there.
        ImportError: if Ray is missing, or a package on one of the machines.
        RuntimeError: if a picture ends its process three times.
    """
    # a picture a task: it takes seconds, and who is killed has little to draw again
    resources = resources_of(task.device, workers=workers, batch_size=1)
    setting = Setting(task.classes, types_in(task.source), threads=task.threads)
    with connected(address, processes=workers, gpus=resources.all_gpus), only_run(task.out):
        _check(setting, task, resources)
        work = begin(PairWorker.of(task), overwrite=overwrite)
        if jobs := work.worker.state.remaining(work.jobs):
            _run(Pipeline(setting, resources, start_ledger()), work.worker, jobs)
        return work.finish()


class DrawPairs(FileOperator):
    """Draws the picture of a row, writes its files, and leaves `name`."""

    worker: PairWorker
    fatal: ClassVar[tuple[type[Exception], ...]] = (Exception,)
    """As in one process: what a picture meets, the next one meets."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.setting.enter()
        with self.attempts.loading():
            assert self.worker.generator  # before the first row, so that Ray waits for it

    def process(self, row: Row) -> Row:
        self.worker(pickle.loads(row['job']))
        return {'name': row['key']}

    def fail(self, row: Row, reason: str, path: str | None = None) -> NoReturn:
        raise RuntimeError(f'picture {row["key"]} {reason}')


def _check(setting: Setting, task: GenerateTask, resources: Resources) -> None:
    """Loads the prior on the cluster: this machine may be too small for it, and names fit or do not before any work."""

    def load() -> None:
        setting.enter()
        task.generator()

    try:
        ray.get(ray.remote(num_cpus=ACTOR_CPUS, num_gpus=resources.num_gpus)(load).remote())
    except ray.exceptions.RayError as error:
        raise cause_of(error) from error


def _run(pipeline: Pipeline, worker: Any, jobs: Sequence[FileJob]) -> None:
    gpus = pipeline.resources.num_gpus
    with quiet_execution():
        dataset = dataset_of(jobs, pipeline.resources.batch_size)
        dataset = pipeline.in_actors(dataset, DrawPairs, gpus, worker=worker)
        for _ in results_of(dataset, len(jobs), 'picture'):
            pass
