"""What a config says of a data set, before one file is read."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mmengine.fileio as fileio
from mmengine.config import ConfigDict
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

Settings = dict[str, Any]
"""The config of a data set."""
CONTENTS = {'img_path': 'images', 'seg_map_path': 'label files'}
"""What lies in the folders of `data_prefix`."""


@dataclass(frozen=True)
class Folders:
    """Where a data set looks for its files.

    Attributes:
        root: `data_root`.
        prefixes: path of each folder that `CONTENTS` names; None where a test set has no labels.
        ann_file: path of the list of names; empty where all images of the folder count.
        backend_args: of mmengine's file backend.
    """

    root: str | None
    prefixes: dict[str, str | None]
    ann_file: str = ''
    backend_args: dict[str, Any] | None = field(default=None, hash=False)

    @classmethod
    def named_by(cls, settings: Settings) -> 'Folders':
        """The folders that a config names: some of mmseg's classes stop without a word where one is missing."""
        root, ann_file = settings.get('data_root') or '', settings.get('ann_file') or ''
        prefixes = settings.get('data_prefix') or {'img_path': ''}
        joined = {key: None if value is None else str(Path(root, value)) for key, value in prefixes.items()}
        return cls(root, joined, str(Path(root, ann_file)) if ann_file else '', settings.get('backend_args'))

    @classmethod
    def of(cls, dataset: BaseSegDataset) -> 'Folders':
        """Those of a data set that is built, with its class's own defaults."""
        return cls(dataset.data_root, dataset.data_prefix, dataset.ann_file, dataset.backend_args)

    def missing(self) -> list[tuple[str, str]]:
        """(setting, path) of every folder, and of the list of names, that is not there."""
        found = [
            (key, path)
            for key in CONTENTS
            if (path := self.prefixes.get(key)) is not None and not fileio.isdir(path, self.backend_args)
        ]
        if self.ann_file and not fileio.exists(self.ann_file, self.backend_args):
            found.append(('ann_file', self.ann_file))
        return found


def dataset_parts(settings: Settings) -> Iterator[Settings]:
    """The data sets inside wrappers such as RepeatDataset and ConcatDataset; nothing where there is none."""
    inner = settings.get('datasets') or ([settings['dataset']] if 'dataset' in settings else [])
    for part in inner:
        yield from dataset_parts(part)
    if settings and not inner:
        yield settings


def build_dataset(settings: Settings, **changes: Any) -> BaseSegDataset:
    """Builds a data set without listing its files.

    Args:
        settings: of the config.
        changes: of its options; `pipeline=[]` builds no transforms.

    Raises:
        TypeError: if it is none of mmseg's; and whatever its class raises.
    """
    dataset = DATASETS.build(ConfigDict({**settings, 'lazy_init': True, 'serialize_data': False, **changes}))
    if not isinstance(dataset, BaseSegDataset):
        raise TypeError(f"expected a subclass of mmseg's BaseSegDataset, got {type(dataset).__name__}")
    return dataset


def class_names(dataset: BaseSegDataset) -> list[str]:
    """Names of the classes; empty where nobody gave any."""
    return list(dataset.metainfo.get('classes') or ())
