"""A folder of images and a folder of masks in, a folder of refined masks out.

Shapes: C classes, H W image size.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.io.class_files import Classes
from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.io.images import by_name, find_images, read_image
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.io.mask_files import MaskFormat, as_labels, make_prediction
from mmseg_g4seg.io.seed_files import BackgroundRule
from mmseg_g4seg.ops.masks import BORDER_WIDTH
from mmseg_g4seg.ops.scores import ScoreType
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import build_refiner

from .run_state import RunState


@dataclass(frozen=True)
class FolderTask:
    """What is refined, and how; all of it can be sent to another process.

    Attributes:
        images: folder of images.
        masks: folder of mask files, each of its image's name.
        out: folder of the refined masks.
        refiner: config, see `build_refiner`.
        classes: of the masks.
        input_format: see `formats`.
        output_format: likewise; the input's when not given.
        score_type: what `.npz` and `.npy` hold.
        rule: background of seeds.
        soften: see `make_prediction`.
        any_size: likewise.
        truth: folder of labels (index PNGs) to measure against.
        strict: stop at the first error.
        device: that the refiner runs on.
        threads: of each process on the CPU; another number changes the last bits of floats.
    """

    images: Path
    masks: Path
    out: Path
    refiner: dict[str, Any]
    classes: Classes
    input_format: str
    output_format: str | None = None
    score_type: ScoreType = 'softmax'
    rule: BackgroundRule = field(default_factory=BackgroundRule)
    soften: float = BORDER_WIDTH
    any_size: bool = False
    truth: Path | None = None
    strict: bool = False
    device: str = 'cpu'
    threads: int = 1

    def __post_init__(self) -> None:
        for name, folder in self._inputs().items():
            if folder is not None and not folder.is_dir():
                raise FileNotFoundError(f'{name}: no such folder: {folder}')
        if self.out.resolve() in (self.masks.resolve(), self.images.resolve()):
            raise ValueError(f'out: expected a folder of its own, got that of the inputs, {self.out}')
        if not 0 <= self.soften <= 1:
            raise ValueError(f'soften: expected a share of the longer side in [0, 1], got {self.soften}')
        if self.threads < 1:
            raise ValueError(f'threads: expected at least 1, got {self.threads}')
        self.reader()
        self.writer()

    def reader(self) -> MaskFormat:
        return build_format(self.input_format, self.classes, score_type=self.score_type, rule=self.rule)

    def writer(self) -> MaskFormat:
        return build_format(self.output_format or self.input_format, self.classes, rule=self.rule)

    def settings(self) -> dict[str, Any]:
        """What the results follow from."""
        return {
            'refiner': json.loads(json.dumps(self.refiner, default=repr)),
            'classes': list(self.classes.names),
            'background_index': self.classes.background_index,
            'palette': self.classes.palette.tolist() if 'palette-png' in self._formats() else None,
            'formats': self._formats(),
            'score_type': self.score_type,
            'background_rule': asdict(self.rule),
            'soften': self.soften,
            'any_size': self.any_size,
            **{name: folder and str(folder.resolve()) for name, folder in self._inputs().items()},
        }

    def _inputs(self) -> dict[str, Path | None]:
        return {'images': self.images, 'masks': self.masks, 'truth': self.truth}

    def _formats(self) -> list[str]:
        return [self.input_format, self.output_format or self.input_format]


@dataclass(frozen=True)
class Job:
    """One mask: its name, its file (or files, which is an error), and where its refined mask goes."""

    name: str
    masks: list[Path]
    result: Path


def plan(task: FolderTask) -> tuple[list[Job], dict[str, list[str]]]:
    """Lists the work: every entry of the masks' folder with the format's suffix.

    Returns:
        The jobs in order of name, and what is left aside: other entries of the masks' folder, and
        images without a mask.
    """
    suffix, written = task.reader().suffix, task.writer().suffix
    entries = sorted(task.masks.iterdir())
    masks = by_name(p for p in entries if p.suffix.lower() == suffix)
    jobs = [Job(name, paths, task.out / (name + written)) for name, paths in masks.items()]
    aside = {
        'ignored_files': [p.name for p in entries if p.suffix.lower() != suffix],
        'images_without_mask': [name for name in find_images(task.images) if name not in masks],
    }
    return jobs, aside


class BadFile(Exception):
    """A file that could not be used: which, and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f'{path}: {reason}')
        self.path, self.reason = path, reason


def refine_share(
    task: FolderTask,
    state: RunState,
    jobs: list[Job],
    *,
    share: int = 0,
    shares: int = 1,
    each: Callable = lambda: None,
) -> None:
    """Refines every `shares`-th mask that is not done, starting with number `share`.

    Args:
        task: what to do.
        state: begun, or resumed.
        jobs: all of them, as `plan` lists them.
        share: of this process.
        shares: number of processes.
        each: called after every mask.

    Raises:
        BadFile: if the task is strict and something is wrong with a file.
    """
    images = find_images(task.images)
    worker: _Worker | None = None
    with _threads(task.threads):
        for job in jobs[share::shares]:
            if not state.is_done(job.name, job.result):
                worker = worker or _Worker(task)
                try:
                    state.save(job.name, job.result, *worker(job, images.get(job.name, [])))
                except BadFile as error:
                    state.fail(job.name, error.path, error.reason)
                    if task.strict:
                        raise
            each()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Fixes the number of torch's threads, which sums of floats depend on."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Worker:
    """Refines one mask after the other; the refiner is built once."""

    def __init__(self, task: FolderTask) -> None:
        self.task = task
        self.reader, self.writer = task.reader(), task.writer()
        refiner = build_refiner(task.refiner)
        assert isinstance(refiner, Refiner)
        self.refiner = refiner.to(task.device)
        self.one_folder = task.images.resolve() == task.masks.resolve()

    def __call__(self, job: Job, images: list[Path]) -> tuple[bytes, dict[str, Any]]:
        """The refined mask's file, and its record."""
        classes = self.task.classes
        mask = _only_one(job.masks, 'mask', job)
        if self.one_folder:
            images = [p for p in images if p.suffix.lower() != self.reader.suffix]
        path = _only_one(images, 'image', job)
        image = _used(path, lambda: read_image(path))
        size = (image.shape[1], image.shape[2])
        coarse = _used(
            mask,
            lambda: make_prediction(
                self.reader.read(mask), size, len(classes), soften=self.task.soften, any_size=self.task.any_size
            ),
        )
        truth = self._truth(job.name, size)
        refined = _used(mask, lambda: self.refiner.refine(image, coarse, classes.names, key=path.name))
        content = _used(mask, lambda: self.writer.encode(refined))
        return content, _record(coarse, refined, truth, classes)

    def _truth(self, name: str, size: tuple[int, int]) -> torch.Tensor | None:
        if self.task.truth is None:
            return None
        path, classes = self.task.truth / f'{name}.png', self.task.classes
        labels = _used(path, lambda: read_index_png(path, len(classes), classes.ignore_index))
        if tuple(labels.shape) != size:
            raise BadFile(path, f'expected labels of {size} as the image has, got {tuple(labels.shape)}')
        return labels


def _only_one(paths: list[Path], what: str, job: Job) -> Path:
    if len(paths) != 1:
        names = ', '.join(path.name for path in paths)
        raise BadFile(job.masks[0], f'several {what}s of its name: {names}' if paths else f'no {what} of its name')
    return paths[0]


def _used(path: Path, action: Callable[[], Any]) -> Any:
    """Runs what may fail because of a file."""
    try:
        return action()
    except ImportError:  # the environment's fault, and so every file's
        raise
    except Exception as error:
        raise BadFile(path, f'{type(error).__name__}: {error}') from error


def _record(coarse: Prediction, refined: Prediction, truth: torch.Tensor | None, classes: Classes) -> dict[str, Any]:
    """Areas of every class before and after, and against the truth."""
    num_classes = len(classes)
    before, after = (as_labels(p, num_classes).cpu() for p in (coarse, refined))
    record: dict[str, Any] = {
        'pixels': before.numel(),
        'changed': int((before != after).sum()),
        'before': torch.bincount(before.flatten(), minlength=num_classes)[:num_classes].tolist(),
        'after': torch.bincount(after.flatten(), minlength=num_classes)[:num_classes].tolist(),
    }
    if truth is not None:
        record['coarse_areas'] = class_areas(before, truth, num_classes, classes.ignore_index).tolist()
        record['refined_areas'] = class_areas(after, truth, num_classes, classes.ignore_index).tolist()
    return record
