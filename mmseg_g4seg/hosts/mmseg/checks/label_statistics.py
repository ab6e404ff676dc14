"""What the label files of a data set hold: sizes, ids, pixels of every class.

Shapes: C classes. Sizes are (W, H), as PIL has them.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_g4seg.hosts.mmseg.datasets.label_rules import LabelRules
from mmseg_g4seg.hosts.mmseg.datasets.pairs import Info
from mmseg_g4seg.io.image_headers import frame_note, has_sixteen_bits, upright_size
from mmseg_g4seg.io.label_files import SIXTEEN_BIT

SIXTEEN_BITS = (
    'expected an image of 8 bits a channel, got 16 bits, of which mmcv keeps the upper 8: convert the images by '
    'the range that they use'
)
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What PIL raises on a damaged file."""


@dataclass
class PairFacts:
    """One image and its label file.

    Attributes:
        image_size, label_size: (W, H).
        pixels: of each raw id.
        problem: why the files could not be read, in words; empty where they could.
    """

    image_size: tuple[int, int] = (0, 0)
    label_size: tuple[int, int] = (0, 0)
    pixels: dict[int, int] = field(default_factory=dict)
    problem: str = ''


@dataclass
class LabelStatistics:
    """Sums over a data set.

    Attributes:
        rules: from raw ids to classes.
        image_sizes: how many images have each (W, H).
        pixels: (C,) int64 of each class.
        images: (C,) int64, images in which each class occurs.
        ignored: pixels.
        unlabelled: paths of the images in which every pixel is ignored.
        raw_pixels: of each raw id.
        unexpected: of each raw id that does not belong: [files, first file].
        other_size: (label file, its size, the image's size, what its EXIF tag has to do with that) where they differ.
        problems: files that could not be read.
    """

    rules: LabelRules
    image_sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: np.ndarray = field(init=False)
    images: np.ndarray = field(init=False)
    ignored: int = 0
    unlabelled: list[str] = field(default_factory=list)
    raw_pixels: Counter[int] = field(default_factory=Counter)
    unexpected: dict[int, tuple[int, str]] = field(default_factory=dict)
    other_size: list[tuple[str, tuple[int, int], tuple[int, int], str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pixels = np.zeros(self.rules.num_classes, np.int64)
        self.images = np.zeros(self.rules.num_classes, np.int64)

    def add(self, info: Info, facts: PairFacts) -> None:
        """Counts one pair."""
        if facts.problem:
            self.problems.append(facts.problem)
            return
        self.image_sizes[facts.image_size] += 1
        if facts.label_size != facts.image_size:
            note = frame_note(Path(info['img_path']), facts.image_size[::-1], facts.label_size[::-1])
            self.other_size.append((info['seg_map_path'], facts.label_size, facts.image_size, note))
        of_class = np.zeros(self.rules.num_classes, np.int64)
        ignored = 0
        for raw, count in facts.pixels.items():
            self.raw_pixels[raw] += count
            if not self._belongs(raw):
                files, first = self.unexpected.get(raw, (0, info['seg_map_path']))
                self.unexpected[raw] = (files + 1, first)
            elif self.rules.table[raw] < self.rules.num_classes:
                of_class[self.rules.table[raw]] += count
            else:
                ignored += count
        self.pixels += of_class
        self.images += of_class > 0
        self.ignored += ignored
        if ignored == sum(facts.pixels.values()):
            self.unlabelled.append(info['img_path'])

    @property
    def wholly_ignored(self) -> bool:
        """Whether there are pixels, and none of them has a class."""
        return bool(self.raw_pixels) and self.ignored == sum(self.raw_pixels.values())

    def _belongs(self, raw: int) -> bool:
        return 0 <= raw < 256 and bool(self.rules.allowed[raw])


def read_pairs(pairs: Sequence[Info]) -> Iterator[tuple[Info, PairFacts]]:
    """Reads the facts of each pair, in order, in threads: decoding leaves the interpreter's lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from zip(pairs, pool.map(read_pair, pairs), strict=True)


def read_pair(info: Info) -> PairFacts:
    """Reads an image's header and a label file's pixels."""
    path = info['img_path']
    try:
        size = upright_size(Path(path))
        with Image.open(path) as image:
            if has_sixteen_bits(image):
                return PairFacts(problem=f'{path}: {SIXTEEN_BITS}')
        path = info['seg_map_path']
        with Image.open(path) as label_image:
            return PairFacts(size, label_image.size, count_raw_ids(label_image))
    except UNREADABLE as error:
        return PairFacts(problem=f'{path}: {error}')


def count_raw_ids(label_image: Image.Image) -> dict[int, int]:
    """Pixels of each id in a label file.

    Raises:
        ValueError: if it has more than one channel.
    """
    if label_image.mode in ('L', 'P'):
        return {i: count for i, count in enumerate(label_image.histogram()) if count}
    if label_image.mode not in ('1', *SIXTEEN_BIT):
        raise ValueError(f'expected one channel of ids, got mode {label_image.mode}: is this a painted label map?')
    ids, counts = np.unique(np.asarray(label_image).astype(np.int64), return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))
