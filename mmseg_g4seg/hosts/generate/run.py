"""Writes pictures, labels and soft scores, a job a picture; a run that was killed goes on where it stopped.

Shapes: C classes, H W picture size.
"""

import gc
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from PIL import Image

from mmseg_g4seg.coarse.generation import Pair, PairGenerator, picture_name
from mmseg_g4seg.hosts.folder.run_state import RunState
from mmseg_g4seg.hosts.folder.shares import Work, Worker, fixed_threads, spread, under_torchrun
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.io.images import to_pixels
from mmseg_g4seg.io.label_files import png_bytes
from mmseg_g4seg.io.storage import AnyPath
from mmseg_g4seg.prediction import ClassList

from .summary import MANIFEST, make_manifest, make_table
from .task import GenerateTask

SUFFIXES = {'images': '.png', 'scores': '.npz', 'labels': '.png'}
"""Folders of the data set, and of their files."""
CLASSES, TABLE = 'classes.txt', 'table.txt'


@dataclass(frozen=True)
class PairJob:
    """One picture with its mask.

    Attributes:
        index: of the picture.
        out: folder of the data set.
    """

    index: int
    out: AnyPath

    @property
    def name(self) -> str:
        return picture_name(self.index)

    @property
    def inputs(self) -> list[AnyPath]:
        """A name and a seed are all that it is made of."""
        return []

    @property
    def results(self) -> list[AnyPath]:
        """Picture, scores and labels."""
        return [self.out / folder / f'{self.name}{suffix}' for folder, suffix in SUFFIXES.items()]


class PairWorker(Worker):
    """Draws pictures, one a call; its prior is loaded at the first one."""

    task: GenerateTask

    @classmethod
    def of(cls, task: GenerateTask) -> 'PairWorker':
        """Of a run that has not begun."""
        return cls(task, RunState(task.out, task.settings()))

    @cached_property
    def generator(self) -> PairGenerator:
        return self.task.generator()

    def __call__(self, job: PairJob) -> None:
        """Draws a picture and writes its files."""
        with fixed_threads(self.task.threads):
            pair = self.generator(job.index)
        self.state.save(job, encode_pair(pair, self.task.classes), pair_record(pair, self.generator))


def generate_folder(task: GenerateTask, *, workers: int = 1, overwrite: bool = False) -> dict[str, Any]:
    """Writes a data set; called again after a kill, or with a higher count, it goes on.

    Under torchrun every process takes a share, on its own GPU where there are several.

    Args:
        task: what to do.
        workers: processes to start; not under torchrun.
        overwrite: start anew.

    Returns:
        The report, as in `OUT/report.json`, in the first process; in the others an empty one.

    Raises:
        ValueError: if something does not fit the prior; nothing is written then.
        FileExistsError: if the folder holds something else, or another run is at work there.
        RuntimeError: if a worker ended before its share did.
    """

    def find_work() -> Work:
        worker = PairWorker.of(task)
        assert worker.generator  # a name that does not fit is the whole run's fault, not that of its last picture
        if workers > 1 or under_torchrun():
            # each process loads its own, and under torchrun this one, too: gigabytes that nobody reads
            del worker.generator
            gc.collect()
        return begin(worker, overwrite=overwrite)

    return spread(task.out, find_work, workers=workers, title='generating', unit='picture')


def begin(worker: PairWorker, *, overwrite: bool = False) -> Work:
    """Opens the folder of a data set; once a run, inside `only_run`; raises FileExistsError as `generate_folder`."""
    task, state = worker.task, worker.state
    jobs = [PairJob(i, task.out) for i in range(task.count)]
    _refuse_others(jobs)
    state.begin([path for job in jobs for path in job.results], overwrite=overwrite)
    for folder in SUFFIXES:
        (task.out / folder).mkdir(exist_ok=True)
    return Work(worker, jobs, lambda: _finish(task, state))


def encode_pair(pair: Pair, classes: ClassList) -> list[bytes]:
    """The content of the files of a picture (3, H, W), in the order of `PairJob.results`."""
    return [
        png_bytes(Image.fromarray(to_pixels(pair.image))),
        build_format('npz', classes).encode(pair.prediction),
        build_format('index-png', classes).encode(pair.prediction),
    ]


def pair_record(pair: Pair, generator: PairGenerator) -> dict[str, Any]:
    """What the manifest says of a picture, but for its name: areas are shares of its pixels, by class."""
    labels, names = pair.prediction.label_map, generator.classes.labels
    areas = {names[c]: round(float((labels == c).float().mean()), 6) for c in pair.classes}
    return {'prompt': pair.prompt, 'seed': generator.seed, 'classes': list(areas), 'areas': areas}


def _refuse_others(jobs: list[PairJob]) -> None:
    """Raises FileExistsError where the data set would have files that its manifest does not list."""
    expected = {path for job in jobs for path in job.results}
    folders = [folder for name in SUFFIXES if (folder := jobs[0].out / name).is_dir()]
    found = [path for folder in folders for path in sorted(folder.iterdir(), key=str) if path not in expected]
    if found:
        raise FileExistsError(
            f'{found[0]} and {len(found) - 1} files more are not among the {len(jobs)} pictures of this run; choose '
            'another folder, or a higher count'
        )


def _finish(task: GenerateTask, state: RunState) -> dict[str, Any]:
    """Writes class names, manifest, table and report when all pictures are there."""
    report = state.finish([picture_name(i) for i in range(task.count)], {})
    table = make_table(report['images'], task.classes.labels)
    for name, content in (
        (CLASSES, '\n'.join(task.classes.labels) + '\n'),
        (MANIFEST, make_manifest(report['images'], SUFFIXES)),
        (TABLE, table + '\n'),
    ):
        atomic_write(task.out / name, content, scratch=state.scratch)
    state.close()
    return {**report, 'table': table}
