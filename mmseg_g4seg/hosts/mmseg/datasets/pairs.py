"""Images and their label files: what is listed, against what is there.

mmseg lists images and derives the label files' names; whether those exist shows in the middle of a run.
"""

import os.path as osp
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mmengine.fileio as fileio
from mmseg.datasets import BaseSegDataset

Info = dict[str, Any]
"""What mmseg knows of an image: `img_path`, `seg_map_path` ..."""


class FolderContent:
    """The files of one folder and of those below it, read once.

    Attributes:
        path: of the folder; None where the data set has none.
        suffix: how the files in question end.
        files: all names, relative to the folder.
    """

    def __init__(self, path: str | None, suffix: str, backend_args: dict[str, Any] | None) -> None:
        self.path, self.suffix = path, suffix
        options = {'list_dir': False, 'recursive': True, 'backend_args': backend_args}
        self.files = set(fileio.list_dir_or_file(path, **options) if path is not None else ())

    def has(self, path: str) -> bool:
        return osp.relpath(path, self.path) in self.files

    def stems(self) -> set[str]:
        """Names of the files in question, less their suffix."""
        return {name.removesuffix(self.suffix) for name in self.files if name.endswith(self.suffix)}

    def fitting_suffixes(self, expected: Sequence[str]) -> dict[str, int]:
        """The suffixes by which most of the expected files would be found, the most frequent first, with their counts.

        A suffix starts at no letter or digit: `img_10.png` is no file of `img_1`.
        """
        stems = {osp.relpath(path, self.path).removesuffix(self.suffix) for path in expected}
        found = Counter(
            name[i:]
            for name in sorted(self.files)
            for i, letter in enumerate(name)
            if not letter.isalnum() and name[:i] in stems
        )
        return {suffix: count for suffix, count in found.most_common() if 2 * count > len(stems)}


@dataclass
class Pairs:
    """What lies in the folders of a data set.

    Attributes:
        images: folder of the images.
        labels: folder of the label files; its path is None for a test set without labels, which has no pairs.
        listed: all images that a run would use.
        found: images with a label file.
        missing_images: listed images that are not there.
        missing_labels: label files that are not there, of images that are.
        orphan_labels: label files (by suffix) without an image.
    """

    images: FolderContent
    labels: FolderContent
    listed: Sequence[Info]
    found: list[Info] = field(default_factory=list)
    missing_images: list[str] = field(default_factory=list)
    missing_labels: list[str] = field(default_factory=list)
    orphan_labels: list[str] = field(default_factory=list)


def find_pairs(dataset: BaseSegDataset, listed: Sequence[Info]) -> Pairs:
    """Compares what a data set lists with what its folders hold.

    Args:
        dataset: whose folders exist.
        listed: its images, as mmseg lists them.
    """
    prefixes, backend_args = dataset.data_prefix, dataset.backend_args
    images = FolderContent(prefixes.get('img_path'), dataset.img_suffix, backend_args)
    labels = FolderContent(prefixes.get('seg_map_path'), dataset.seg_map_suffix, backend_args)
    pairs = Pairs(images, labels, listed)
    for info in listed:
        if not images.has(info['img_path']):
            pairs.missing_images.append(info['img_path'])
        elif labels.path is not None and not labels.has(info['seg_map_path']):
            pairs.missing_labels.append(info['seg_map_path'])
        elif labels.path is not None:
            pairs.found.append(info)
    pairs.orphan_labels = sorted(f'{labels.path}/{stem}{labels.suffix}' for stem in labels.stems() - images.stems())
    return pairs
