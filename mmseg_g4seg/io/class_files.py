"""What the classes of a folder of masks are called, which one is background, and their colours."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.prediction import IGNORE_INDEX


@dataclass(frozen=True)
class Classes:
    """Attributes:
    names: C names.
    background_index: the class that has no name of its own, if there is one.
    palette: (256, 3) uint8, colour of each index.
    """

    names: Sequence[str]
    background_index: int | None = None
    palette: np.ndarray = field(default_factory=voc_palette)

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise ValueError(f'classes: expected at least two names, got {list(self.names)}')
        if len(set(self.names)) < len(self.names):
            raise ValueError(f'classes: expected different names, got {list(self.names)}')
        if self.background_index is not None and not 0 <= self.background_index < len(self):
            raise ValueError(f'background: expected an index below {len(self)}, got {self.background_index}')

    def __len__(self) -> int:
        return len(self.names)

    @property
    def ignore_index(self) -> int:
        """What unlabelled pixels are written as."""
        return IGNORE_INDEX if len(self) <= IGNORE_INDEX else 65535


def read_classes(source: str, *, background: str | None = None, palette: Path | None = None) -> Classes:
    """Reads class names.

    Args:
        source: a file of names, one a line, or the names themselves, with commas between.
        background: name of the class that is never refined; a class called `background` is it when
            not given; `none` for none.
        palette: file of colours, `R G B` a line, 0 to 255, one a class at least; VOC's when not
            given, and from where the file ends.

    Raises:
        ValueError: if names or colours do not fit.
    """
    names = [name.strip() for name in _listed_names(source) if name.strip()]
    wanted = background or 'background'
    if background not in (None, 'none') and background not in names:
        raise ValueError(f'background: expected one of {names}, got {background!r}')
    index = names.index(wanted) if wanted in names else None
    return Classes(names, index, voc_palette() if palette is None else _read_palette(palette, len(names)))


def _listed_names(source: str) -> list[str]:
    path = None
    with suppress(OSError):  # names with commas may be too long for a path
        path = Path(source) if Path(source).is_file() else None
    if path is not None:
        return path.read_text().splitlines()
    if ',' not in source:
        raise ValueError(f'classes: expected a file of names or a list with commas, got {source!r}')
    return source.split(',')


def _read_palette(path: Path, least: int) -> np.ndarray:
    """Colours of a file; VOC's from there on, so that unlabelled pixels have one, too."""
    rows = [line.split() for line in path.read_text().splitlines() if line.strip()]
    try:
        colours = np.array(rows, dtype=np.int64)
    except ValueError as error:
        raise ValueError(f'{path}: expected lines of three numbers, R G B') from error
    if colours.ndim != 2 or colours.shape[1] != 3 or len(colours) > 256 or colours.min() < 0 or colours.max() > 255:
        raise ValueError(f'{path}: expected up to 256 lines of three numbers from 0 to 255')
    if len(colours) < least:
        raise ValueError(f'{path}: expected a colour for each of {least} classes, got {len(colours)}')
    return np.concatenate([colours.astype(np.uint8), voc_palette()[len(colours) :]])
