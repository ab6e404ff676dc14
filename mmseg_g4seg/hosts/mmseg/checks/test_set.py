"""Asked before a model is built: what is missing in the test set, and what of it does not fit the model."""

import logging
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset

from mmseg_g4seg.hosts.mmseg.datasets.file_wording import folder_problems, pair_problems, stop_at
from mmseg_g4seg.hosts.mmseg.datasets.settings import Settings, class_names, dataset_parts
from mmseg_g4seg.hosts.mmseg.model_config import scored_classes, segmentor_config, type_name
from mmseg_g4seg.io.images import by_name
from mmseg_g4seg.io.object_masks import mask_values

from .examiner import examine, rules_of
from .wording import NO_NAMES, object_mask_problems

LOADER = 'test_dataloader'


def test_set_parts(config: Config) -> list[Settings]:
    """The data sets that a config evaluates on, out of their wrappers."""
    return list(dataset_parts((config.get(LOADER) or {}).get('dataset') or {}))


def check_test_set(config: Config) -> None:
    """Checks the data set that a config evaluates on.

    mmseg's own classes stop at a missing file when its turn comes, and at a wrong suffix without a word
    about it.

    Raises:
        FileNotFoundError: if a folder or the list of names is missing, there are no images, or an image
            has no label file; names the first, how many, and the setting.
        ValueError: if the data set has no class names, or another number of them than the model scores;
            if all label files are of 0 and 255, which mmseg ignores; or if images of one name would be taken for
            each other.
    """
    images: set[str] = set()
    for settings in test_set_parts(config):
        found = examine(settings)
        stop_at(settings.get('type'), folder_problems(found.missing, found.folders.root))
        if isinstance(found.error, KeyError | TypeError):
            continue  # a data set of another library: the run's to judge
        if found.error is not None:
            raise found.error
        assert found.dataset is not None
        assert found.pairs is not None
        _check_classes(config, settings, found.dataset)
        stop_at(settings['type'], pair_problems(found.pairs))
        values = mask_values(Path(info['seg_map_path']) for info in found.pairs.found)
        for problem in object_mask_problems(values, rules_of(found.dataset, found.pairs.found)):
            raise ValueError(f'{settings["type"]}: {problem}')
        images.update(info['img_path'] for info in found.pairs.listed)
    _check_names(config, images)


def _check_classes(config: Config, settings: Settings, dataset: BaseSegDataset) -> None:
    names = class_names(dataset)
    if not names:
        raise ValueError(f'{settings["type"]}: {NO_NAMES.format(loader=LOADER)}')
    scored, where = scored_classes(config.get('model') or {})
    if scored not in (None, len(names)):
        given = f'metainfo of {LOADER}.dataset' if settings.get('metainfo') else f'{settings["type"]}.METAINFO'
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
    if type_name(segmentor_config(config.get('model') or {})[0]) == 'SavedScoresSegmentor':
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
