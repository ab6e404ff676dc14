"""What a run is asked to make seeds of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmseg_g4seg.coarse import CoarseSource, build_source
from mmseg_g4seg.io.background_rule import BackgroundRule
from mmseg_g4seg.io.class_files import distinct_classes
from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.io.image_tags import ImageTags
from mmseg_g4seg.io.images import find_images
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.registry import parts_of


@dataclass(frozen=True)
class SeedsTask:
    """Which images, which classes, and how; all of it can be sent to another process.

    Attributes:
        images: folder of images.
        tags: of the images, see `ImageTags`.
        out: folder of the seeds.
        classes: of the data set.
        source: config of a `CoarseSource`, such as `dict(type='CLIPESSource')`.
        names: file with names of images, one a line, without suffix; all images when not given.
        output_format: one of `FORMATS`; that in which the method's authors save seeds when not given.
        device: that the source runs on.
        threads: of each process on the CPU; another number changes the last bits of floats.
    """

    images: Path
    tags: Path
    out: Path
    classes: ClassList
    source: Mapping[str, Any]
    names: Path | None = None
    output_format: str | None = None
    device: str = 'cpu'
    threads: int = 1

    def __post_init__(self) -> None:
        if not self.images.is_dir():
            raise FileNotFoundError(f'images: no such folder: {self.images}')
        if self.out.resolve() in (self.images.resolve(), self.tags.resolve()):
            raise ValueError(f'out: expected a folder of its own, got that of the inputs, {self.out}')
        if self.threads < 1:
            raise ValueError(f'threads: expected at least 1, got {self.threads}')
        distinct_classes(self.classes)
        ImageTags(self.tags, self.classes)
        build_format(self.format, self.classes)

    @property
    def format(self) -> str:
        """Of the seeds' files."""
        parts = {part.__name__: part for part in parts_of(CoarseSource)}
        return self.output_format or str(getattr(parts.get(self.source['type']), 'file_format', 'irn'))

    def load(self) -> CoarseSource:
        """Builds the source on its device.

        Raises:
            OSError: if a model is not there.
            ValueError: if an option does not fit.
        """
        return build_source(self.source, {}).to(self.device)

    def find_images(self) -> dict[str, list[Path]]:
        """Files by the names that are asked for; none, or several, are the error of that image.

        Raises:
            OSError: if the list of names is missing.
            ValueError: if there is no image at all.
        """
        found = find_images(self.images)
        if self.names is not None:
            listed = [line.strip() for line in self.names.read_text(encoding='utf-8-sig').splitlines()]
            found = {name: found.get(name, []) for name in dict.fromkeys(listed) if name}
        if not any(found.values()):
            raise ValueError(f'expected images in {self.images}, found none of those asked for')
        return found

    def settings(self, rule: BackgroundRule) -> dict[str, Any]:
        """What the seeds follow from, as plain JSON; not the names, so that a folder can grow."""
        settings = {
            'source': dict(self.source),
            'classes': self.classes.names,
            'background_index': self.classes.background,
            'format': self.format,
            'background_rule': f'{rule.name}:{rule.value:g}',
            'images': str(self.images.resolve()),
            'tags': str(self.tags.resolve()),
        }
        # lists for tuples: they are compared with those of an earlier run, which come from its report
        return dict(json.loads(json.dumps(settings, default=str)))
