"""Images and their label files: found, and checked before a run starts.

mmseg lists images and derives the label files' names; whether those exist shows in the middle of a run.
"""

import os.path as osp
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmengine.fileio as fileio
from mmseg.datasets import BaseSegDataset

Info = dict[str, Any]
"""What mmseg knows of an image: `img_path`, `seg_map_path` ..."""


@dataclass
class PairReport:
    """What lies in the folders of a data set.

    Attributes:
        pairs: images with a label file.
        missing_images: listed images that are not there.
        missing_labels: label files that are not there, of images that are.
        orphan_labels: label files (by suffix) without an image.
        problems: in words, each with the folder, what was expected and the remedy.
    """

    pairs: list[Info] = field(default_factory=list)
    missing_images: list[str] = field(default_factory=list)
    missing_labels: list[str] = field(default_factory=list)
    orphan_labels: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def folder_problems(dataset: BaseSegDataset) -> list[str]:
    """Says which folders, or which list of names, are missing."""
    problems = [
        f'{path} is missing: expected the folder of {what} (data_prefix {key}); put it there or set data_root, '
        f'which is {dataset.data_root!r}'
        for key, what in (('img_path', 'images'), ('seg_map_path', 'label files'))
        if (path := dataset.data_prefix.get(key)) is not None and not fileio.isdir(path, dataset.backend_args)
    ]
    if dataset.ann_file and not fileio.exists(dataset.ann_file, dataset.backend_args):
        problems.append(f'{dataset.ann_file} is missing: expected the list of image names (ann_file)')
    return problems


def examine_pairs(dataset: BaseSegDataset, infos: Sequence[Info]) -> PairReport:
    """Compares what a data set lists with what its folders hold.

    Args:
        dataset: whose folders exist.
        infos: its images, as mmseg lists them; without a folder of labels (a test set) there are no pairs.
    """
    images = _Folder(dataset, 'img_path', dataset.img_suffix)
    labels = _Folder(dataset, 'seg_map_path', dataset.seg_map_suffix)
    report = PairReport()
    for info in infos:
        if not images.has(info['img_path']):
            report.missing_images.append(info['img_path'])
        elif labels.path is not None and not labels.has(info['seg_map_path']):
            report.missing_labels.append(info['seg_map_path'])
        elif labels.path is not None:
            report.pairs.append(info)
    stems = images.stems()
    report.orphan_labels = sorted(f'{labels.path}/{stem}{labels.suffix}' for stem in labels.stems() - stems)
    report.problems = _problems(report, images, labels, infos)
    return report


def _problems(report: PairReport, images: '_Folder', labels: '_Folder', infos: Sequence[Info]) -> list[str]:
    problems, count = [], len(infos)
    if not infos:
        problems.append(
            f"{images.path} has no image that ends in '{images.suffix}' (img_suffix); {images.other_endings()}"
        )
    if report.missing_images:
        problems.append(
            f'{len(report.missing_images)} of {count} listed images are missing in {images.path}, '
            f"{report.missing_images[0]} first (img_suffix='{images.suffix}'); {images.other_endings()}"
        )
    if report.missing_labels:
        first = report.missing_labels[0]
        problems.append(
            f'{len(report.missing_labels)} of {count} images have no label file in {labels.path}, {first} first '
            f"(seg_map_suffix='{labels.suffix}'); {labels.other_suffixes([info['seg_map_path'] for info in infos])}"
        )
    return problems


class CheckedPairs(BaseSegDataset):
    """A data set that fails at once, with a message, where folders or files are missing.

    Raises:
        FileNotFoundError: on building, if a folder or the list is missing, there are no images, or an
            image has no label file. It names the folder, what was expected, the first file and how many.
    """

    def load_data_list(self) -> list[Info]:
        """Lists the images, as mmseg does, after a check of all of them."""
        self._stop_at(folder_problems(self))
        infos = self.list_pairs()
        self._stop_at(examine_pairs(self, infos).problems)
        return infos

    def list_pairs(self) -> list[Info]:
        """Lists the images without the check."""
        return super().load_data_list()

    def _stop_at(self, problems: Sequence[str]) -> None:
        if problems:
            raise FileNotFoundError(
                f'{type(self).__name__}: ' + '\n'.join([*problems, 'tools/check_dataset.py CONFIG shows more'])
            )


class _Folder:
    """The files of one folder and of those below it, read once."""

    def __init__(self, dataset: BaseSegDataset, key: str, suffix: str) -> None:
        self.path = dataset.data_prefix.get(key)
        self.suffix = suffix
        options = {'list_dir': False, 'recursive': True, 'backend_args': dataset.backend_args}
        listed = fileio.list_dir_or_file(self.path, **options) if self.path is not None else ()
        self.files = set(listed)

    def has(self, path: str) -> bool:
        return osp.relpath(path, self.path) in self.files

    def stems(self) -> set[str]:
        return {name.removesuffix(self.suffix) for name in self.files if name.endswith(self.suffix)}

    def other_endings(self) -> str:
        """The endings that the folder does have."""
        endings = Counter(Path(name).suffix for name in self.files).most_common(3)
        if not endings:
            return 'the folder is empty'
        return 'it has ' + ', '.join(f"{count} files in '{ending}'" for ending, count in endings)

    def other_suffixes(self, expected: Sequence[str]) -> str:
        """The suffixes by which most of the expected files would be found."""
        stems = {osp.relpath(path, self.path).removesuffix(self.suffix) for path in expected}
        found = Counter(
            name[i:]
            for name in sorted(self.files)
            for i, letter in enumerate(name)
            if not letter.isalnum() and name[:i] in stems
        )
        fitting = [suffix for suffix, count in found.most_common() if 2 * count > len(stems)]
        if not fitting or self.suffix in fitting:
            return self.other_endings()
        there = ' and '.join(f"{found[suffix]} in '{suffix}'" for suffix in fitting[:3])
        suffixes = ' or '.join(f"'{suffix}'" for suffix in fitting[:3])
        return f'of their names there are {there}: if those are the labels, set seg_map_suffix to {suffixes}'
