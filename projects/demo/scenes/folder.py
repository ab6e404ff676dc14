"""Writes scenes to a folder in the layout that the demo's data set and the prior's training read.

`images/SPLIT/00000.png` RGB, `labels/SPLIT/00000.png` 8-bit index, `classes.txt` one name a line.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.label_files import png_bytes

from .compose import CLASSES, draw_scene


def write_split(folder: Path, split: str, count: int, *, size: int = 128, seed: int = 0) -> Iterator[Path]:
    """Writes one split, scene by scene; scenes that are already there are kept.

    Scene i of a split depends on (seed, split, i) alone, so splits never share a scene and a
    larger split starts with the smaller one's scenes.

    Args:
        folder: root of the data set, made when absent.
        split: name of the split, a folder under `images` and `labels`.
        count: number of scenes.
        size: side of a scene in pixels.
        seed: of the whole data set.

    Yields:
        The path of each image, in order.
    """
    images, labels = folder / 'images' / split, folder / 'labels' / split
    images.mkdir(parents=True, exist_ok=True)
    labels.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / 'classes.txt', '\n'.join(CLASSES) + '\n')
    for index in range(count):
        path = images / f'{index:05d}.png'
        if not path.exists():
            rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
            image, label_map = draw_scene(rng, size)
            # the image last: a scene counts as there once it is
            atomic_write(labels / path.name, png_bytes(Image.fromarray(label_map)))
            atomic_write(path, png_bytes(Image.fromarray(image)))
        yield path
