"""Lets a run fail at a label id of no class, where mmseg would leave its pixels out without a word."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from mmseg_g4seg.hosts.mmseg.checks.test_set import test_set_parts
from mmseg_g4seg.hosts.mmseg.datasets.settings import build_dataset, class_names
from mmseg_g4seg.hosts.mmseg.model_config import type_name


def check_label_ids(config: Config) -> None:
    """Reads the test set's labels by `LoadCheckedAnnotations` where its pipelines say `LoadAnnotations`, in place.

    A data set whose classes are not known keeps its own; what else is amiss there is said by `check_test_set`.
    """
    for settings in test_set_parts(config):
        try:
            dataset = build_dataset(settings, pipeline=[])
        except (KeyError, TypeError):
            continue  # of another library
        for transform in _transforms(settings.get('pipeline') or []) if class_names(dataset) else ():
            if type_name(transform) == 'LoadAnnotations':
                transform['type'] = 'LoadCheckedAnnotations'
                transform.update(num_classes=len(class_names(dataset)), ignore_index=dataset.ignore_index)


def _transforms(pipeline: Any) -> Iterator[dict[str, Any]]:
    """All transforms of a pipeline, those inside others (TestTimeAug) too."""
    for entry in pipeline:
        if isinstance(entry, list | tuple):
            yield from _transforms(entry)
        elif isinstance(entry, dict):
            yield entry
            yield from _transforms(entry.get('transforms') or [])
