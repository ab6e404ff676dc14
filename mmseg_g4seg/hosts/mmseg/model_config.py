"""What the config of a model says before it is built."""

from collections.abc import Mapping
from typing import Any

WRAPPED = ('module', 'segmentor')
"""Where wrappers (test-time augmentation, a refiner) have their model."""


def type_name(part: Mapping[str, Any]) -> str:
    """What a part's class is called, which configs name as `IoUMetric`, as `mmseg.IoUMetric`, or by the class itself.

    The class is what mmengine's pure Python configs give: compared with a text it is never equal.
    """
    kind = part.get('type')
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]


def segmentor_config(model: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The segmentor inside wrappers, and its place in the config.

    Args:
        model: `model` of a config.

    Returns:
        Config of the segmentor, and `model.segmentor` or the like.
    """
    where = 'model'
    while inner := next((key for key in WRAPPED if isinstance(model.get(key), dict)), None):
        model, where = model[inner], f'{where}.{inner}'
    return model, where


def scored_classes(model: dict[str, Any]) -> tuple[int | None, str]:
    """How many classes a model scores, and where its config says so; None where it does not.

    Args:
        model: `model` of a config. Of several heads the last decides, and a head of one channel tells two
            classes apart.
    """
    segmentor, where = segmentor_config(model)
    head = segmentor.get('decode_head')
    if head:
        where += '.decode_head'
    else:
        head = segmentor
    if isinstance(head, list | tuple):
        head, where = head[-1], f'{where}[{len(head) - 1}]'
    count = head.get('num_classes')
    if 1 in (count, head.get('out_channels')):
        return 2, f'{where}.num_classes={count}, of one channel'
    return count, f'{where}.num_classes'
