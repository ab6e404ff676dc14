"""Where a wrapped segmentor learns what its classes are."""

import warnings
from collections.abc import Mapping, Sequence
from pprint import pformat
from typing import Any

from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.visualization import Visualizer
from mmseg.utils import dataset_aliases, get_classes

from mmseg_g4seg.prediction import ClassList, ClassName

TESTED_DATASET = 'mmseg_g4seg/tested_dataset'
"""Where on mmengine's message hub the metainfo of the data set under test is kept."""
TESTED_SETTINGS = 'mmseg_g4seg/tested_settings'
"""Likewise, the text of the config."""


def find_classes(
    count: int,
    *,
    names: Sequence[ClassName] | None,
    dataset_meta: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> ClassList:
    """Finds the classes that a model scores.

    Args:
        count: C, how many classes the model scores.
        names: C names from the config.
        dataset_meta: the checkpoint's, as mmseg's inference functions set it on the model.
        options: of `ClassList`, over what is found; `names` among them call the classes otherwise, the background
            stays the one that it was.

    Returns:
        The first names that there are: those of the config, the checkpoint, the data set under test; with the first
        palette that has a colour for each.

    Raises:
        ValueError: if there are no names, their number is another, or an option does not fit them.
    """
    metas = [dataset_meta or {}, tested_dataset_meta()]
    sources = [names, *(meta.get('classes') for meta in metas), options.get('names')]
    found = next((list(source) for source in sources if source), None)
    if found is None:
        raise ValueError(
            'the refiner needs class names, and neither the checkpoint nor the data set has any: '
            'expected model.class_names=[...] in the config'
        )
    note = '' if names else _guess_note(metas[0].get('classes'), found)
    if len(found) != count:
        raise ValueError(
            f'the model scores {count} classes, but {len(found)} class names are known: {found[:5]} ...{note}'
        )
    if note:
        warnings.warn(f'{found[:5]} ...{note}', stacklevel=2)
    palettes = [meta.get('palette') or () for meta in metas]
    palette = next((colours for colours in palettes if len(colours) >= count), None)
    return ClassList(found, palette=palette).with_options(options)


def _guess_note(checkpoints_names: Any, found: list[ClassName]) -> str:
    """What to say of names that mmseg's `init_model` puts on a model whose checkpoint has none; empty for others.

    It takes those of a data set with as many classes (a model of two, of cats, is told of vessels), else Cityscapes'.
    They come as a list, those of a checkpoint mostly as a tuple.
    """
    if not isinstance(checkpoints_names, list) or checkpoints_names != found:
        return ''
    names = [name for name in dataset_aliases if get_classes(name) == found]
    if not names:
        return ''
    return (
        f": these are mmseg's names of {names[0]}, which it takes where a checkpoint has none; if the model has other "
        'classes, give model.class_names in the config'
    )


def announce_dataset(dataset_meta: Mapping[str, Any]) -> None:
    """Publishes a data set's metainfo to models that run in this process."""
    MessageHub.get_current_instance().update_info(TESTED_DATASET, dataset_meta)


def tested_dataset_meta() -> Mapping[str, Any]:
    """Metainfo of the data set under test.

    A Runner tells its metrics about the data set, and its visualizer in the first process; its model never.
    `tools/test.py` and `RefinementMetric` announce it in every process. In a run of mmseg's own script with its own
    metric the visualizer is asked: the latest, of whatever class.
    """
    announced = MessageHub.get_current_instance().get_info(TESTED_DATASET, {})
    if announced:
        return announced
    try:
        return Visualizer.get_current_instance().dataset_meta or {}
    except RuntimeError:  # there is none
        return {}


def announce_settings(config: Config) -> None:
    """Publishes the config of a run, for its report."""
    model = config.model
    while 'refiner' not in model and 'module' in model:  # inside test-time augmentation
        model = model.module
    refiner = {'Refiner': pformat(model.refiner.to_dict(), sort_dicts=False)} if model.get('refiner') else {}
    MessageHub.get_current_instance().update_info(TESTED_SETTINGS, {**refiner, 'Config': config.pretty_text})


def tested_settings() -> Mapping[str, str]:
    """Texts of the settings under test, by heading; none in a run of mmseg's own script."""
    return MessageHub.get_current_instance().get_info(TESTED_SETTINGS, {})
