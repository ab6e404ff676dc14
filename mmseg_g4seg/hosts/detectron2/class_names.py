"""What the classes of a Detectron2 data set are called, from its metadata."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from detectron2.data import MetadataCatalog

from mmseg_g4seg.prediction import ClassList, ClassName

SUFFIXES = re.compile(r'(-(stuff|other|merged))+$')
"""What COCO hangs on the names of its stuff; a prior takes it for words."""
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
        things: names by category id of segments with `isthing`.
        stuff: likewise, of the others; the same list where things and stuff share one range of ids.
    """

    things: Sequence[ClassName]
    stuff: Sequence[ClassName]

    def name(self, segment: Mapping[str, Any]) -> ClassName:
        """The name of a segment, an entry of `segments_info`.

        Raises:
            ValueError: if the data set has no name for its id.
        """
        names = self.things if segment.get('isthing') else self.stuff
        category = int(segment['category_id'])
        if not 0 <= category < len(names):
            raise ValueError(f'category_id: expected an id below {len(names)}, one a class name, got {category}')
        return names[category]


def segment_names(metadata: Any) -> SegmentNames:
    """The names of a panoptic data set's category ids.

    `thing_classes` cannot be trusted: ADE20K's 100 things have ids among all 150 classes, where `thing_classes[12]`
    is a mirror and id 12 a person.

    Raises:
        ValueError: if there are no names.
    """
    stuff = [clean_name(name, stuff=True) for name in _names(metadata, 'stuff_classes')]
    if not _ids_are_separate(metadata):
        return SegmentNames(stuff, stuff)
    return SegmentNames([clean_name(name) for name in _names(metadata, 'thing_classes')], stuff)


def instance_names(metadata: Any) -> list[ClassName]:
    """The names of `pred_classes`: those of the things, or of all classes where things and stuff share their ids.

    Raises:
        ValueError: if there are no names.
    """
    shared = hasattr(metadata, 'stuff_dataset_id_to_contiguous_id') and not _ids_are_separate(metadata)
    if shared:
        return list(segment_names(metadata).things)
    return [clean_name(name) for name in _names(metadata, 'thing_classes')]


def clean_name(name: ClassName, *, stuff: bool = False) -> ClassName:
    """A data set's name as words: `road, route` is two synonyms, `mirror-stuff` a mirror, `wall-tile` a wall tile."""
    if not isinstance(name, str):
        return name
    if stuff:
        # things keep their hyphens: LVIS has a T-shirt
        name = SUFFIXES.sub('', name).replace('-', ' ')
    words = [' '.join(part.replace('_', ' ').replace('(', ' ').replace(')', ' ').split()) for part in name.split(',')]
    found = [word for word in words if word]
    return found[0] if len(found) == 1 else tuple(found)


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
