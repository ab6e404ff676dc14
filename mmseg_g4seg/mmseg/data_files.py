"""Says, before a model is built, which images, labels or class names of an evaluation are missing."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .dataset_check import list_infos, named_folders
from .datasets.pairs import CheckedPairs, examine_pairs, folder_problems


def check_test_set(config: Config) -> None:
    """Checks the data set that a config evaluates on.

    mmseg's own classes stop at a missing file when its turn comes, and at a wrong suffix without a word
    about it; those of this package check themselves.

    Raises:
        FileNotFoundError: if a folder or the list of names is missing, there are no images, or an image
            has no label file; names the first, how many, and the setting.
        ValueError: if the data set has no class names.
    """
    for settings in _parts((config.get('test_dataloader') or {}).get('dataset') or {}):
        _stop_at(settings, folder_problems(named_folders(settings)))
        dataset = _build(settings)
        if dataset is None:
            continue
        if not dataset.metainfo.get('classes'):
            raise ValueError(
                f'{settings["type"]}: the data set has no class names: expected metainfo=dict(classes=[...]) in the '
                "config's test_dataloader.dataset (or a data set class with METAINFO['classes'])"
            )
        if not isinstance(dataset, CheckedPairs):
            _stop_at(settings, examine_pairs(dataset, list_infos(dataset)).problems)


def _parts(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The data sets inside wrappers such as RepeatDataset and ConcatDataset."""
    inner = settings.get('datasets') or ([settings['dataset']] if 'dataset' in settings else [])
    for part in inner:
        yield from _parts(part)
    if settings and not inner:
        yield settings


def _build(settings: dict[str, Any]) -> BaseSegDataset | None:
    """The data set with its files not listed; None where it is of another kind, which is the run's to judge."""
    try:
        dataset = DATASETS.build({**settings, 'pipeline': [], 'lazy_init': True, 'serialize_data': False})
    except (KeyError, TypeError):
        return None
    return dataset if isinstance(dataset, BaseSegDataset) else None


def _stop_at(settings: dict[str, Any], problems: list[str]) -> None:
    if problems:
        lines = [*problems, 'tools/check_dataset.py CONFIG shows more']
        raise FileNotFoundError(f'{settings.get("type")}: ' + '\n'.join(lines))
