"""The list of a run's work."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmseg_g4seg.io.images import IMAGE_SUFFIXES, by_name, find_images
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
        other_files: in the images' folder, of its name and a suffix that no image known here has.
    """

    name: str
    masks: Sequence[AnyPath]
    images: Sequence[AnyPath]
    result: AnyPath
    other_files: tuple[AnyPath, ...] = ()

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
        return Plan([Job(name, [], paths, task.out / (name + written)) for name, paths in found.items()], [], [], [])
    entries: list[AnyPath] = sorted(task.masks.iterdir(), key=str)
    masks = by_name(path for path in entries if path.suffix.lower() == suffix)
    nested = _nested_masks(task, task.masks, suffix)
    if not masks:
        there = f'; folders in it have {len(nested)}, such as {nested[0]}: refine each folder' if nested else ''
        raise ValueError(f'expected masks ({suffix}) in {task.masks}, found none{there}')
    images = find_images(task.images)
    if task.images.resolve() == task.masks.resolve():  # where a mask in PNG looks like a second image of its name
        images = {name: [path for path in paths if path.suffix.lower() != suffix] for name, paths in images.items()}
    other = by_name(path for path in task.images.iterdir() if path.suffix.lower() not in (*IMAGE_SUFFIXES, suffix))
    return Plan(
        jobs=[
            Job(name, paths, images.get(name, []), task.out / (name + written), tuple(other.get(name, ())))
            for name, paths in masks.items()
        ],
        ignored_files=[path.name for path in entries if path.suffix.lower() != suffix and not path.is_dir()],
        nested_masks=nested,
        images_without_mask=[name for name in images if name not in masks],
    )


def _nested_masks(task: FolderTask, masks: AnyPath, suffix: str) -> list[str]:
    # results, images or labels may lie in a folder of the masks' folder
    others = [folder.resolve() for folder in (task.out, task.images, task.truth, task.fiftyone) if folder]
    others = [folder for folder in others if folder != masks.resolve()]
    found = (path for path in nested_paths(masks) if path.suffix.lower() == suffix and path.is_file())
    inside = (path for path in found if not {*others} & {*path.resolve().parents})
    return sorted(str(path)[len(str(masks)) + 1 :] for path in inside)
