"""Refines one mask after the other: reads it and its image, refines, encodes, writes.

Shapes: C classes, K of them in play in an image, H W image size.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmseg_g4seg.coarse import CoarseSource, build_source
from mmseg_g4seg.evaluation.records import measure_image, stage_names
from mmseg_g4seg.io.image_headers import frame_note
from mmseg_g4seg.io.images import IMAGE_SUFFIXES, opening_megapixels, read_image
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.io.mask_files import FileMask, as_labels, classes_in_play, make_prediction
from mmseg_g4seg.io.object_masks import object_labels
from mmseg_g4seg.io.storage import AnyPath
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.base import Refiner, Stage
from mmseg_g4seg.refiners.build import build_refiner

from .faults import BadFile, at_fault
from .plan import Job
from .run_state import RunState
from .shares import Worker, fixed_threads
from .task import FolderTask


class MaskCase(NamedTuple):
    """What a job is about.

    Attributes:
        image: (3, H, W) float RGB in [0, 1].
        coarse: (K, H, W) probabilities of the classes in play, (H, W) labels below K.
        kept: K indices of these classes in the data set, see `classes_in_play`.
        truth: (H, W) int64, where there is one.
    """

    image: Tensor
    coarse: Prediction
    kept: list[int]
    truth: Tensor | None

    @property
    def coarse_labels(self) -> Tensor:
        """(H, W) int64, class indices in the data set, -1 where there is no label."""
        return as_labels(self.coarse, -1, self.kept)


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
            case = self.read(job)
            with at_fault(job.blamed):
                stages = refiner.refine_stages(
                    [case.image], [case.coarse], classes.subset(case.kept), keys=[job.images[0].name]
                )
                record = _record(case, stages, self.task.classes)
                refined, kept = stages[-1].predictions[0], case.kept
                # what is written is the last stage's alone: the others' scores are as large each
                del case, stages
                return self.writer.encode(refined, kept), record

    def read(self, job: Job) -> 'MaskCase':
        """Reads an image, its coarse mask and, where there is one, its truth.

        Raises:
            BadFile: if a file cannot be used.
        """
        image = self.read_image(job)
        if self.task.masks is None:
            coarse, kept = self.predict(job, image), list(range(len(self.task.classes)))
        else:
            coarse, kept = self.read_mask(job, image)
        return MaskCase(image, coarse, kept, self.read_truth(job, image))

    def read_image(self, job: Job) -> Tensor:
        """Reads an image (3, H, W) float in [0, 1]; errors as `read`."""
        if self.task.masks is not None:
            _only_one(job.masks, 'mask', job)
        path = _only_one(job.images, 'image', job)
        with at_fault(path):
            return read_image(path)

    def read_result(self, job: Job) -> Tensor:
        """Labels of the refined mask that a job has written: (H, W) int64.

        Raises:
            BadFile: if its file cannot be used.
        """
        with at_fault(job.result):
            read = self.writer.read(job.result)
            if read.label_map is not None:
                return read.label_map
            assert read.probs is not None
            best = read.probs.argmax(dim=0)
            return best if read.classes is None else torch.tensor(read.classes)[best]

    @cached_property
    def refiner(self) -> Refiner:
        """On the task's device."""
        refiner = build_refiner(self.task.refiner)
        assert isinstance(refiner, Refiner)
        return refiner.to(self.task.device)

    @cached_property
    def source(self) -> CoarseSource:
        """Of coarse masks, on the task's device; it can look for all classes."""
        assert self.task.coarse is not None
        source = build_source(self.task.coarse, {})
        source.check(self.task.classes)
        return source.to(self.task.device)

    @cached_property
    def classes(self) -> ClassList:
        """The masks' classes as the refiner's config wants them called and treated."""
        return self.task.classes.with_options(self.refiner.class_options)

    def predict(self, job: Job, image: Tensor) -> Prediction:
        """What the task's source makes of an image (3, H, W); errors as `read`."""
        source = self.source  # built, and refused, outside: a wrong option is no image's fault
        with at_fault(job.blamed):
            return source.predict(image, self.task.classes, key=job.images[0].name)

    def read_mask(self, job: Job, image: Tensor) -> tuple[Prediction, list[int]]:
        """Reads the coarse mask of an image (3, H, W), of its classes in play, and which these are; as `read`."""
        reading, mask, size = self.task.reading, job.masks[0], (image.shape[1], image.shape[2])
        # by the config alone: who only reads has no refiner
        classes = self.task.classes.with_options(dict(self.task.refiner.get('classes') or {}))
        with at_fault(mask):
            read = self.reader.read(mask)
            if read.label_map is not None and 'masks' in self.state.settings['object_masks']:
                read = FileMask(label_map=object_labels(read.label_map, self.task.classes))
            _check_frame(read.label_map if read.probs is None else read.probs, job.images[0], size)
            kept = classes_in_play(read, classes)
            options: dict[str, Any] = dict(soften=reading.soften, any_size=reading.any_size)
            return make_prediction(read, size, len(classes), **options, kept=kept, classes=classes.subset(kept)), kept

    def read_truth(self, job: Job, image: Tensor) -> Tensor | None:
        """Reads the labels (H, W) int64 of an image (3, H, W), where there are any; errors as `read`."""
        if job.truth is None:
            return None
        path, classes, size = job.truth, self.task.classes, tuple(image.shape[1:])
        with at_fault(path):
            labels = read_index_png(path, len(classes), classes.ignore_index)
            _check_frame(labels, job.images[0], (image.shape[1], image.shape[2]))
        if tuple(labels.shape) != size:
            raise BadFile(path, f'expected labels of {size} as the image has, got {tuple(labels.shape)}')
        return object_labels(labels, classes) if 'truth' in self.state.settings['object_masks'] else labels


def _check_frame(maps: Tensor | None, image: AnyPath, size: tuple[int, int]) -> None:
    """Raises ValueError where (..., h, w) maps were made of an image's stored pixels, and a tag turns those."""
    grid = size if maps is None else (maps.shape[-2], maps.shape[-1])
    if note := frame_note(image, size, grid):
        raise ValueError(f'expected a mask of {size[0]} x {size[1]}, got {grid[0]} x {grid[1]} (height x width){note}')


def _only_one(paths: Sequence[AnyPath], what: str, job: Job) -> AnyPath:
    names = ', '.join(path.name for path in paths or job.other_files)
    if len(paths) > 1:
        raise BadFile(job.blamed, f'several {what}s of its name: {names}')
    if not paths and job.other_files:
        known = ', '.join(IMAGE_SUFFIXES)
        if {path.suffix.lower() for path in job.other_files} <= {*IMAGE_SUFFIXES}:
            alike = 'which differs in case, or in how Unicode composes its letters'
            raise BadFile(job.masks[0], f'no {what} of its name; there is {names!r}, {alike}')
        raise BadFile(job.masks[0], f'no {what} of its name among {known}; there is {names}: save it as one of these')
    if not paths:
        raise BadFile(job.masks[0], f'no {what} of its name')
    return paths[0]


def _record(case: MaskCase, stages: Sequence[Stage], classes: ClassList) -> dict[str, Any]:
    """What the report keeps of a mask, but for its name, which the run's state knows."""
    predictions = [case.coarse, *(stage.predictions[0] for stage in stages)]
    maps = [as_labels(p, len(classes), case.kept) for p in predictions]
    return mask_record(maps, {stage.name: stage.seconds for stage in stages}, case.truth, classes)


def mask_record(
    maps: Sequence[Tensor], seconds: Mapping[str, float], truth: Tensor | None, classes: ClassList
) -> dict[str, Any]:
    """What the report keeps of a mask.

    Args:
        maps: labels (H, W) integer, the coarse mask's and those of every stage; C for what is unlabelled.
        seconds: of every stage, by its name.
        truth: (H, W) int64, or None.
        classes: of the masks.

    Returns:
        An `ImageRecord` as JSON, without the name.
    """
    named = {name: labels.cpu() for name, labels in zip(stage_names(list(seconds)), maps, strict=True)}
    measured = measure_image('', named, truth, len(classes), ignore_index=classes.ignore_index, seconds=seconds)
    return {key: value for key, value in measured.as_dict().items() if key != 'name'}
