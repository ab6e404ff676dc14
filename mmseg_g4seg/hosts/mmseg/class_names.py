"""Where a wrapped segmentor learns what its classes are called."""

from collections.abc import Sequence
from typing import Any

from mmengine.logging import MessageHub
from mmengine.visualization import Visualizer

from mmseg_g4seg.prediction import ClassName

TESTED_DATASET = 'mmseg_g4seg/tested_dataset'
"""Where on mmengine's message hub the metainfo of the data set under test is kept."""


def find_class_names(
    given: Sequence[ClassName] | None, dataset_meta: dict[str, Any] | None, count: int
) -> list[ClassName]:
    """Finds the names of `count` classes.

    Args:
        given: names from the config.
        dataset_meta: the checkpoint's, as mmseg's inference functions set it on the model.
        count: number of classes that the model scores.

    Returns:
        The first there are of: the given names, the checkpoint's, the tested data set's.

    Raises:
        ValueError: if there are none, or their number is another.
    """
    metas = [dataset_meta or {}, _tested_dataset_meta()]
    sources = [given, *(meta.get('classes') for meta in metas)]
    names = next((list(source) for source in sources if source), None)
    if names is None:
        raise ValueError(
            'the refiner needs class names, and neither the checkpoint nor the data set has any: '
            'expected model.class_names=[...] in the config'
        )
    if len(names) != count:
        raise ValueError(f'the model scores {count} classes, but {len(names)} class names are known: {names[:5]} ...')
    return names


def announce_dataset(dataset_meta: dict[str, Any]) -> None:
    """Publishes a data set's metainfo to models that run in this process."""
    MessageHub.get_current_instance().update_info(TESTED_DATASET, dataset_meta)


def _tested_dataset_meta() -> dict[str, Any]:
    """Metainfo of the data set under test.

    A Runner tells its metrics about the data set on every rank, its visualizer on the first, and its
    model never. `RefinementMetric` passes it on; without that metric the visualizer is asked.
    """
    announced = MessageHub.get_current_instance().get_info(TESTED_DATASET, {})
    if announced:
        return announced
    classes = [Visualizer]
    for cls in classes:
        classes += cls.__subclasses__()
    instances = [instance for cls in classes for instance in cls._instance_dict.values()]
    metas = [getattr(instance, 'dataset_meta', None) for instance in instances]
    return next((meta for meta in reversed(metas) if meta), {})
