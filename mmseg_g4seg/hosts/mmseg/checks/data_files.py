"""Says, before a model is built, what is missing in the test set, and what of it does not fit the model."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_g4seg.hosts.mmseg.launch.model_config import scored_classes, segmentor_config
from mmseg_g4seg.io.images import by_name

from .dataset_check import list_infos, named_folders
from .pairs import examine_pairs, folder_problems


def check_test_set(config: Config) -> None:
    """Checks the data set that a config evaluates on.

    mmseg's own classes stop at a missing file when its turn comes, and at a wrong suffix without a word
    about it.

    Raises:
        FileNotFoundError: if a folder or the list of names is missing, there are no images, or an image
            has no label file; names the first, how many, and the setting.
        ValueError: if the data set has no class names, or another number of them than the model scores;
            or if images of one name would be taken for each other.
    """
    images: set[str] = set()
    for settings in dataset_parts((config.get('test_dataloader') or {}).get('dataset') or {}):
        _stop_at(settings, folder_problems(named_folders(settings)))
        dataset = build_unlisted(settings)
        if dataset is None:
            continue
        _check_classes(config, settings, dataset)
        infos = list_infos(dataset)
        _stop_at(settings, examine_pairs(dataset, infos).problems)
        images.update(info['img_path'] for info in infos)
    _check_names(config, images)


def _check_classes(config: Config, settings: dict[str, Any], dataset: BaseSegDataset) -> None:
    names = dataset.metainfo.get('classes')
    if not names:
        raise ValueError(
            f'{settings["type"]}: the data set has no class names: expected metainfo=dict(classes=[...]) in the '
            "config's test_dataloader.dataset (or a data set class with METAINFO['classes'])"
        )
    scored, where = scored_classes(config.get('model') or {})
    if scored not in (None, len(names)):
        given = 'metainfo of test_dataloader.dataset' if settings.get('metainfo') else f'{settings["type"]}.METAINFO'
        raise ValueError(
            f'{settings["type"]}: the model scores {scored} classes ({where}), but {len(names)} class names are known '
            f'({given}: {", ".join(names[:3])} ...): give a model that was trained on these classes, or the data set '
            'of the classes that it was trained on'
        )


def _check_names(config: Config, images: set[str]) -> None:
    """Stops, or warns, where two images differ in their folder or suffix alone."""
    shared = [paths for paths in by_name(map(Path, sorted(images))).values() if len(paths) > 1]
    if not shared:
        return
    said = f'{len(shared)} image names occur more than once in the test set, {shared[0][0]} and {shared[0][1]} first: '
    if segmentor_config(config.get('model') or {})[0].get('type') == 'SavedScoresSegmentor':
        raise ValueError(
            f'{said}their scores, in one folder by name (scores_dir), would be taken for each other; rename the images '
            'and their scores, or evaluate each folder by itself'
        )
    evaluator = config.get('test_evaluator') or []
    for metric in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        if metric.get('output_dir'):
            raise ValueError(
                f'{said}the label map of the second would be written over that of the first in {metric["output_dir"]} '
                '(--out, or output_dir of the metric); rename the images, or write each folder by itself'
            )
    print_log(
        f'{said}the reports and painted images of a run do not tell them apart',
        logger='current',
        level=logging.WARNING,
    )


def dataset_parts(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The data sets inside wrappers such as RepeatDataset and ConcatDataset."""
    inner = settings.get('datasets') or ([settings['dataset']] if 'dataset' in settings else [])
    for part in inner:
        yield from dataset_parts(part)
    if settings and not inner:
        yield settings


def build_unlisted(settings: dict[str, Any]) -> BaseSegDataset | None:
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
