"""Labels of whole images: which classes each one shows, and not where.

Sources: a JSON file of names by image, or a folder with a file an image: class names, one a line (`.txt`); VOC's
annotations (`.xml`); label maps (`.png`), of which the places are not read.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmseg_g4seg.ops.masks import present_classes
from mmseg_g4seg.prediction import ClassList, synonyms

from .images import IMAGE_SUFFIXES
from .label_files import read_index_png
from .object_masks import is_object_mask, mask_values, object_labels

SUFFIXES = ('.txt', '.xml', '.png')


@dataclass(frozen=True)
class ImageTags:
    """Finds the classes of an image by its name; can be sent to another process.

    Attributes:
        source: JSON file or folder.
        classes: that the tags name.
    """

    source: Path
    classes: ClassList

    def __post_init__(self) -> None:
        if not self.source.exists():
            raise FileNotFoundError(f'tags: no file or folder {self.source}')

    def file(self, name: str) -> Path:
        """The file that has an image's tags.

        Raises:
            ValueError: if the folder has none, or several.
        """
        if self.source.is_file():
            return self.source
        found = [path for suffix in SUFFIXES if (path := self.source / f'{name}{suffix}').is_file()]
        if len(found) != 1:
            names = ', '.join(path.name for path in found) or 'none'
            raise ValueError(f'expected one file {name} with {" or ".join(SUFFIXES)} in {self.source}, got {names}')
        return found[0]

    def __call__(self, name: str) -> list[int]:
        """Indices, in ascending order, of the classes of an image, never the background.

        Args:
            name: of the image, without suffix.

        Raises:
            OSError: if a file cannot be read.
            ValueError: if the image has no tags, or one is no class.
        """
        path = self.file(name)
        if path.suffix == '.png':
            labels = read_index_png(path, len(self.classes), self.classes.ignore_index)
            labels = object_labels(labels, self.classes) if self._object_maps else labels
            return present_classes(labels, len(self.classes), background_index=self.classes.background)
        if path.suffix == '.xml':
            return self._indices(_annotated(path))
        if path.suffix == '.txt':
            lines = path.read_text(encoding='utf-8-sig').splitlines()
            return self._indices([line.strip() for line in lines if line.strip()])
        if name not in self._listed:
            raise ValueError(f'{path}: has no tags of {name!r}')
        return self._indices(self._listed[name])

    @cached_property
    def _object_maps(self) -> bool:
        """Whether 255 is the object in the label maps; as what has no label, it would leave no image a class."""
        return is_object_mask(mask_values(sorted(self.source.glob('*.png'))), len(self.classes))

    @cached_property
    def _listed(self) -> dict[str, Any]:
        try:
            content = json.loads(self.source.read_text(encoding='utf-8-sig'))
        except ValueError as error:
            raise ValueError(f'{self.source}: expected JSON: {error}') from error
        if not isinstance(content, dict):
            raise ValueError(f'{self.source}: expected lists of class names by image, got {type(content).__name__}')
        listed: dict[str, Any] = {}
        for key, tags in content.items():
            # keys with a suffix are what lists of files have
            name = Path(key).stem if Path(key).suffix.lower() in IMAGE_SUFFIXES else key
            # `a/1.jpg` and `b/1.jpg`: the last one's tags would go for both
            if listed.setdefault(name, tags) != tags:
                raise ValueError(f'{self.source}: expected one list of tags an image, got several of {name!r}')
        return listed

    def _indices(self, tags: Sequence[Any]) -> list[int]:
        known = {word: c for c, name in enumerate(self.classes) for word in synonyms(name)}
        unknown = [tag for tag in tags if tag not in known] if not isinstance(tags, str) else [tags]
        if unknown:
            raise ValueError(f'expected a list of some of {self.classes.labels}, got {unknown[0]!r}')
        return sorted({known[tag] for tag in tags} - {self.classes.background})


def _annotated(path: Path) -> list[str]:
    """The objects' names in one of VOC's annotations, those marked as difficult, too, as the methods' authors do."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f'expected an annotation in XML: {error}') from error
    return [(node.text or '').strip() for node in root.findall('object/name')]
