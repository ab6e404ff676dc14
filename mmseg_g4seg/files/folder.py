"""A folder of images and a folder of masks in, a folder of refined masks out.

Shapes: C classes, H W image size.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..areas import class_areas
from ..refiners import Prediction, Refiner, build_refiner
from ..scores import ScoreType
from .classes import Classes
from .formats import build_format
from .images import find_images, read_image
from .label_files import read_index_png
from .masks import MaskFormat, as_labels, make_prediction
from .run_state import RunState
from .seed_files import BackgroundRule


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
    soften: float = 0.015
    any_size: bool = False
    truth: Path | None = None
    strict: bool = False
    device: str = 'cpu'

    def __post_init__(self) -> None:
        for name, folder in (('images', self.images), ('masks', self.masks), ('truth', self.truth)):
            if folder is not None and not folder.is_dir():
                raise FileNotFoundError(f'{name}: no such folder: {folder}')
        if self.out.resolve() in (self.masks.resolve(), self.images.resolve()):
            raise ValueError(f'out: expected a folder of its own, got that of the inputs, {self.out}')
        if not 0 <= self.soften <= 1:
            raise ValueError(f'soften: expected a share of the longer side in [0, 1], got {self.soften}')
        if self.input_format == 'binary-png' and len(self.classes) != 2:
            raise ValueError(f'binary-png holds one object: expected two classes, got {list(self.classes.names)}')
        self.reader()
        self.writer()

    def reader(self) -> MaskFormat:
        return build_format(self.input_format, self.classes, score_type=self.score_type, rule=self.rule)

    def writer(self) -> MaskFormat:
        return build_format(self.output_format or self.input_format, self.classes, rule=self.rule)

    def settings(self) -> dict[str, Any]:
        """What the results follow from."""
        return {
            'refiner': repr(self.refiner),
            'classes': list(self.classes.names),
            'background_index': self.classes.background_index,
            'palette': self.classes.palette.tolist() if 'palette-png' in self._formats() else None,
            'formats': self._formats(),
            'score_type': self.score_type,
            'background_rule': asdict(self.rule),
            'soften': self.soften,
            'any_size': self.any_size,
            'truth': self.truth is not None,
        }

    def _formats(self) -> list[str]:
        return [self.input_format, self.output_format or self.input_format]


@dataclass(frozen=True)
class Job:
    """One mask: its name, its file, and where its refined mask goes."""

    name: str
    mask: Path
    result: Path


def plan(task: FolderTask) -> tuple[list[Job], dict[str, list[str]]]:
    """Lists the work: every entry of the masks' folder with the format's suffix.

    Returns:
        The jobs in order of name, and what is left aside: other entries of the masks' folder, and
        images without a mask.
    """
    suffix, written = task.reader().suffix, task.writer().suffix
    entries = sorted(task.masks.iterdir())
    jobs = [Job(p.stem, p, task.out / (p.stem + written)) for p in entries if p.suffix.lower() == suffix]
    names = {job.name for job in jobs}
    aside = {
        'ignored_files': [p.name for p in entries if p.suffix.lower() != suffix],
        'images_without_mask': [name for name in find_images(task.images) if name not in names],
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


class _Worker:
    """Refines one mask after the other; the refiner is built once."""

    def __init__(self, task: FolderTask) -> None:
        self.task = task
        self.reader, self.writer = task.reader(), task.writer()
        refiner = build_refiner(task.refiner)
        assert isinstance(refiner, Refiner)
        self.refiner = refiner.to(task.device)

    def __call__(self, job: Job, images: list[Path]) -> tuple[bytes, dict[str, Any]]:
        """The refined mask's file, and its record."""
        classes = self.task.classes
        path = _only_one(images, job)
        image = _used(path, lambda: read_image(path))
        size = (image.shape[1], image.shape[2])
        coarse = _used(
            job.mask,
            lambda: make_prediction(
                self.reader.read(job.mask), size, len(classes), soften=self.task.soften, any_size=self.task.any_size
            ),
        )
        truth = self._truth(job.name, size)
        refined = _used(job.mask, lambda: self.refiner.refine(image, coarse, classes.names, key=path.name))
        content = _used(job.mask, lambda: self.writer.encode(refined))
        return content, _record(coarse, refined, truth, len(classes))

    def _truth(self, name: str, size: tuple[int, int]) -> torch.Tensor | None:
        if self.task.truth is None:
            return None
        path = self.task.truth / f'{name}.png'
        labels = _used(path, lambda: read_index_png(path, len(self.task.classes)))
        if tuple(labels.shape) != size:
            raise BadFile(path, f'expected labels of {size} as the image has, got {tuple(labels.shape)}')
        return labels


def _only_one(images: list[Path], job: Job) -> Path:
    if len(images) != 1:
        reason = (
            'several images of its name: ' + ', '.join(p.name for p in images) if images else 'no image of its name'
        )
        raise BadFile(job.mask, reason)
    return images[0]


def _used(path: Path, action: Callable[[], Any]) -> Any:
    """Runs what may fail because of a file."""
    try:
        return action()
    except ImportError:  # the environment's fault, and so every file's
        raise
    except (Exception, MemoryError) as error:
        raise BadFile(path, f'{type(error).__name__}: {error}') from error


def _record(coarse: Prediction, refined: Prediction, truth: torch.Tensor | None, num_classes: int) -> dict[str, Any]:
    """Areas of every class before and after, and against the truth."""
    before, after = (as_labels(p, num_classes).cpu() for p in (coarse, refined))
    record: dict[str, Any] = {
        'pixels': before.numel(),
        'changed': int((before != after).sum()),
        'before': torch.bincount(before.flatten(), minlength=num_classes)[:num_classes].tolist(),
        'after': torch.bincount(after.flatten(), minlength=num_classes)[:num_classes].tolist(),
    }
    if truth is not None:
        record['coarse_areas'] = class_areas(before, truth, num_classes).tolist()
        record['refined_areas'] = class_areas(after, truth, num_classes).tolist()
    return record
