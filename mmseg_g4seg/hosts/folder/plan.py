"""The list of a run's work."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from mmseg_g4seg.io.images import IMAGE_SUFFIXES, by_name, find_images, is_companion
from mmseg_g4seg.io.storage import AnyPath, nested_paths

from .task import FolderTask


@dataclass(frozen=True)
class Job:
    """One mask.

    Attributes:
        name: of the mask and its image, without suffix.
        masks: its file; none or several are an error. None where a source makes them.
        images: likewise of its image.
        result: file of the refined mask.
        other_files: in the images' folder, of nearly its name: with a suffix that no image known here has, or with
            letters that differ in case or in how Unicode composes them.
        truth: file of its labels; None without labels.
    """

    name: str
    masks: Sequence[AnyPath]
    images: Sequence[AnyPath]
    result: AnyPath
    other_files: tuple[AnyPath, ...] = ()
    truth: AnyPath | None = None

    @property
    def inputs(self) -> list[AnyPath]:
        """The files that its result and record follow from."""
        return [*self.masks, *self.images, *([] if self.truth is None else [self.truth])]

    @property
    def blamed(self) -> AnyPath:
        """The file that is at fault where nothing says which one: the mask, or the image that has none."""
        return (self.masks or self.images)[0]

    @property
    def results(self) -> list[AnyPath]:
        """The files that are written for it."""
        return [self.result]


@dataclass(frozen=True)
class Plan:
    """All of the work, and what is left aside.

    Attributes:
        jobs: in order of name.
        ignored_files: other files of the masks' folder.
        nested_masks: files with the format's suffix in folders of the masks' folder, by their path in it.
        images_without_mask: names of images.
    """

    jobs: list[Job]
    ignored_files: list[str]
    nested_masks: list[str]
    images_without_mask: list[str]


def make_plan(task: FolderTask) -> Plan:
    """Lists the work: every entry of the masks' folder with the format's suffix, or every image without such a folder.

    Raises:
        ValueError: if there is none.
    """
    suffix, written = task.reader().suffix, task.writer().suffix
    if task.masks is None:
        found = find_images(task.images)
        if not found:
            raise ValueError(f'expected images in {task.images}, found none')
        jobs = [
            Job(name, [], paths, task.out / (name + written), truth=_truth(task, name)) for name, paths in found.items()
        ]
        return Plan(jobs, [], [], [])
    entries: list[AnyPath] = sorted(task.masks.iterdir(), key=str)
    masks = by_name(path for path in entries if path.suffix.lower() == suffix and not is_companion(path))
    nested = _nested_masks(task, task.masks, suffix)
    if not masks:
        there = f'; folders in it have {len(nested)}, such as {nested[0]}: refine each folder' if nested else ''
        raise ValueError(f'expected masks ({suffix}) in {task.masks}, found none{there}')
    images = find_images(task.images)
    if task.images.resolve() == task.masks.resolve():  # where a mask in PNG looks like a second image of its name
        images = {name: [path for path in paths if path.suffix.lower() != suffix] for name, paths in images.items()}
    other: dict[str, list[AnyPath]] = {}
    beside: list[AnyPath] = sorted(task.images.iterdir(), key=str)
    for path in beside:
        if path.stem not in masks or path.suffix.lower() not in (*IMAGE_SUFFIXES, suffix):
            other.setdefault(_plain(path.stem), []).append(path)
    return Plan(
        jobs=[
            Job(
                name,
                paths,
                images.get(name, []),
                task.out / (name + written),
                tuple(other.get(_plain(name), ())),
                _truth(task, name),
            )
            for name, paths in masks.items()
        ],
        ignored_files=[p.name for p in entries if (p.suffix.lower() != suffix and not p.is_dir()) or is_companion(p)],
        nested_masks=nested,
        images_without_mask=[name for name in images if name not in masks],
    )


def _truth(task: FolderTask, name: str) -> AnyPath | None:
    return None if task.truth is None else task.truth / f'{name}.png'


def _plain(name: str) -> str:
    """A name as file systems compare it that do not tell case, or composed letters (macOS), apart."""
    return unicodedata.normalize('NFC', name).casefold()


def _nested_masks(task: FolderTask, masks: AnyPath, suffix: str) -> list[str]:
    # results, images or labels may lie in a folder of the masks' folder
    others = [folder.resolve() for folder in (task.out, task.images, task.truth, task.fiftyone) if folder]
    others = [folder for folder in others if folder != masks.resolve()]
    found = (p for p in nested_paths(masks) if p.suffix.lower() == suffix and p.is_file() and not is_companion(p))
    inside = (path for path in found if not {*others} & {*path.resolve().parents})
    return sorted(str(path)[len(str(masks)) + 1 :] for path in inside)
