"""What the classes of a Detectron2 data set are called, from its metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from detectron2.data import MetadataCatalog

from mmseg_g4seg.io.category_names import clean_name
from mmseg_g4seg.prediction import ClassList, ClassName

THINGS = 'things'
"""Class 0 of the separated COCO: all pixels of objects, and no name of what is seen."""


def read_metadata(dataset_name: str) -> Any:
    """The metadata of a registered data set.

    Raises:
        ValueError: if none of that name is registered; `MetadataCatalog.get` would make an empty one.
    """
    known = MetadataCatalog.list()
    if dataset_name not in known:
        close = get_close_matches(dataset_name, known, n=3)
        raise ValueError(
            f'data set {dataset_name!r}: expected one that is registered (DATASETS.TEST, dataset_name); nearest: '
            f'{close}; import the module that registers it'
        )
    return MetadataCatalog.get(dataset_name)


def semantic_classes(metadata: Any) -> ClassList:
    """The classes that a semantic head scores: those of `stuff_classes`, in its order.

    Raises:
        ValueError: if there are no names.
    """
    names = _names(metadata, 'stuff_classes')
    palette = getattr(metadata, 'stuff_colors', None)
    return ClassList(
        [clean_name(name, stuff=True) for name in names],
        # prompted by `things`, the prior would look for no object in particular, where every object is
        background=0 if names[0] == THINGS else 'auto',
        palette=palette if palette is not None and len(palette) >= len(names) else None,
    )


@dataclass(frozen=True)
class SegmentNames:
    """What the category ids of a panoptic prediction are called.

    Attributes:
        classes: of all ids; those of things behind those of stuff where both count from 0.
        first_thing: place of the first thing among them; 0 where things and stuff share one range of ids.
    """

    classes: ClassList
    first_thing: int = 0

    def index(self, segment: Mapping[str, Any]) -> int:
        """Place of a segment's class, by its `category_id` and `isthing`."""
        return int(segment['category_id']) + (self.first_thing if segment.get('isthing') else 0)


def segment_names(metadata: Any, *, labels: Sequence[ClassName] | None = None) -> SegmentNames:
    """The names of a panoptic data set's category ids.

    `thing_classes` cannot be trusted: ADE20K's 100 things have ids among all 150 classes, where `thing_classes[12]`
    is a mirror and id 12 a person.

    Args:
        metadata: of the data set.
        labels: names that the model was asked about in their place.

    Raises:
        ValueError: if there are no names.
    """
    if labels is not None:
        return SegmentNames(ClassList([clean_name(name) for name in labels]))
    stuff = semantic_classes(metadata)
    if not _ids_are_separate(metadata):
        return SegmentNames(stuff)
    things = [clean_name(name) for name in _names(metadata, 'thing_classes')]
    return SegmentNames(ClassList([*stuff, *things], background=stuff.background), first_thing=len(stuff))


def instance_names(metadata: Any) -> list[ClassName]:
    """The names of `pred_classes`: those of the things, or of all classes where things and stuff share their ids.

    Raises:
        ValueError: if there are no names.
    """
    shared = hasattr(metadata, 'stuff_dataset_id_to_contiguous_id') and not _ids_are_separate(metadata)
    if shared:
        return list(segment_names(metadata).classes)
    return [clean_name(name) for name in _names(metadata, 'thing_classes')]


def _ids_are_separate(metadata: Any) -> bool:
    """Whether one contiguous id stands for two ids of the data set, one of a thing and one of stuff."""
    things = getattr(metadata, 'thing_dataset_id_to_contiguous_id', {})
    stuff = getattr(metadata, 'stuff_dataset_id_to_contiguous_id', {})
    own = {contiguous: dataset_id for dataset_id, contiguous in things.items()}
    return any(own.get(contiguous, dataset_id) != dataset_id for dataset_id, contiguous in stuff.items())


def _names(metadata: Any, field: str) -> list[str]:
    names = getattr(metadata, field, None)
    if not names:
        raise ValueError(
            f'data set {metadata.name!r} has no {field}, and a refiner needs names: '
            f'MetadataCatalog.get({metadata.name!r}).set({field}=[...]), one a class'
        )
    return list(names)
