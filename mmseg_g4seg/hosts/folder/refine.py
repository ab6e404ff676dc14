"""Refines one mask after the other: reads it and its image, refines, encodes, writes.

Shapes: C classes, H W image size.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from mmseg_g4seg.evaluation.records import measure_image, stage_names
from mmseg_g4seg.io.image_headers import frame_note
from mmseg_g4seg.io.images import IMAGE_SUFFIXES, opening_megapixels, read_image
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.io.mask_files import FileMask, as_labels, make_prediction
from mmseg_g4seg.io.object_masks import object_labels
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner, Stage
from mmseg_g4seg.refiners.build import build_refiner

from .plan import Job
from .run_state import RunState
from .shares import Worker, fixed_threads
from .task import FolderTask


class BadFile(ValueError):
    """A file that could not be used: which, and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # both, or it could not come back from another process
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}'


class MaskWorker(Worker):
    """Refines masks, one a call; its refiner is built at the first one."""

    task: FolderTask

    def __init__(self, task: FolderTask, state: RunState) -> None:
        """Args:
        task: what to do.
        state: begun; takes results and errors.
        """
        super().__init__(task, state)
        self.reader, self.writer = task.reader(), task.writer()

    def __call__(self, job: Job) -> BadFile | None:
        """Writes the refined mask of a job and its record; or notes the file that is at fault, and returns that."""
        try:
            content, record = self.refine(job)
            self.state.save(job, [content], record)
        except BadFile as error:
            self.state.fail(job, error.path, error.reason)
            return error
        return None

    def refine(self, job: Job) -> tuple[bytes, dict[str, Any]]:
        """Refines one mask and writes nothing.

        Returns:
            The content of the refined mask's file, and the image's record.

        Raises:
            BadFile: if a file cannot be used.
        """
        with fixed_threads(self.task.threads), opening_megapixels(self.task.megapixels):
            refiner, classes = self.refiner, self.classes
            image, coarse, truth = self.read(job)
            with _at_fault(job.masks[0]):
                stages = refiner.refine_stages([image], [coarse], classes, keys=[job.images[0].name])
                content = self.writer.encode(stages[-1].predictions[0])
            return content, _record(coarse, stages, truth, self.task.classes)

    def read(self, job: Job) -> tuple[Tensor, Prediction, Tensor | None]:
        """Reads an image (3, H, W) float in [0, 1], its coarse mask and, where there is one, its truth (H, W) int64.

        Raises:
            BadFile: if a file cannot be used.
        """
        mask, path = _only_one(job.masks, 'mask', job), _only_one(job.images, 'image', job)
        with _at_fault(path):
            image = read_image(path)
        size = (image.shape[1], image.shape[2])
        return image, self._coarse(mask, path, size), self._truth(job.name, path, size)

    def read_result(self, job: Job) -> Tensor:
        """Labels of the refined mask that a job has written: (H, W) int64.

        Raises:
            BadFile: if its file cannot be used.
        """
        with _at_fault(job.result):
            read = self.writer.read(job.result)
            if read.label_map is not None:
                return read.label_map
            assert read.probs is not None
            return read.probs.argmax(dim=0)

    @cached_property
    def refiner(self) -> Refiner:
        """On the task's device."""
        refiner = build_refiner(self.task.refiner)
        assert isinstance(refiner, Refiner)
        return refiner.to(self.task.device)

    @cached_property
    def classes(self) -> ClassList:
        """The masks' classes as the refiner's config wants them called and treated."""
        return self.task.classes.with_options(self.refiner.class_options)

    def _coarse(self, mask: Path, image: Path, size: tuple[int, int]) -> Prediction:
        reading = self.task.reading
        with _at_fault(mask):
            read = self.reader.read(mask)
            if read.label_map is not None and 'masks' in self.state.settings['object_masks']:
                read = FileMask(label_map=object_labels(read.label_map, self.task.classes))
            _check_frame(read.label_map if read.probs is None else read.probs, image, size)
            return make_prediction(
                read,
                size,
                len(self.task.classes),
                soften=reading.soften,
                any_size=reading.any_size,
            )

    def _truth(self, name: str, image: Path, size: tuple[int, int]) -> Tensor | None:
        if self.task.truth is None:
            return None
        path, classes = self.task.truth / f'{name}.png', self.task.classes
        with _at_fault(path):
            labels = read_index_png(path, len(classes), classes.ignore_index)
            _check_frame(labels, image, size)
        if tuple(labels.shape) != size:
            raise BadFile(path, f'expected labels of {size} as the image has, got {tuple(labels.shape)}')
        return object_labels(labels, classes) if 'truth' in self.state.settings['object_masks'] else labels


def _check_frame(maps: Tensor | None, image: Path, size: tuple[int, int]) -> None:
    """Raises ValueError where (..., h, w) maps were made of an image's stored pixels, and a tag turns those."""
    grid = size if maps is None else (maps.shape[-2], maps.shape[-1])
    if note := frame_note(image, size, grid):
        raise ValueError(f'expected a mask of {size[0]} x {size[1]}, got {grid[0]} x {grid[1]} (height x width){note}')


@contextmanager
def _at_fault(path: Path) -> Iterator[None]:
    """Blames a file for whatever goes wrong."""
    try:
        yield
    except ImportError:  # the environment's fault, and so every file's
        raise
    except Exception as error:
        raise BadFile(path, f'{type(error).__name__}: {error}') from error


def _only_one(paths: list[Path], what: str, job: Job) -> Path:
    names = ', '.join(path.name for path in paths or job.other_files)
    if len(paths) > 1:
        raise BadFile(job.masks[0], f'several {what}s of its name: {names}')
    if not paths and job.other_files:
        known = ', '.join(IMAGE_SUFFIXES)
        raise BadFile(job.masks[0], f'no {what} of its name among {known}; there is {names}: save it as one of these')
    if not paths:
        raise BadFile(job.masks[0], f'no {what} of its name')
    return paths[0]


def _record(coarse: Prediction, stages: Sequence[Stage], truth: Tensor | None, classes: ClassList) -> dict[str, Any]:
    """What the report keeps of a mask, but for its name, which the run's state knows; truth (H, W) int64."""
    predictions = [coarse, *(stage.predictions[0] for stage in stages)]
    names = stage_names([stage.name for stage in stages])
    maps = {name: as_labels(p, len(classes)).cpu() for name, p in zip(names, predictions, strict=True)}
    seconds = {stage.name: stage.seconds for stage in stages}
    measured = measure_image('', maps, truth, len(classes), ignore_index=classes.ignore_index, seconds=seconds)
    return {key: value for key, value in measured.as_dict().items() if key != 'name'}
