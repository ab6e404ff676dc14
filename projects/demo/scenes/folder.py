"""Writes scenes to a folder in the layout that the demo's data set and the prior's training read.

`images/SPLIT/00000.png` RGB, `labels/SPLIT/00000.png` 8-bit index, `classes.txt` one name a line.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

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
    (folder / 'classes.txt').write_text('\n'.join(CLASSES) + '\n')
    for index in range(count):
        path = images / f'{index:05d}.png'
        if not path.exists():
            rng = np.random.default_rng([seed, zlib.crc32(split.encode()), index])
            image, label_map = draw_scene(rng, size)
            Image.fromarray(label_map).save(labels / path.name)
            _save_whole(Image.fromarray(image), path)
        yield path


def _save_whole(image: Image.Image, path: Path) -> None:
    """Saves under another name, then renames, so that an interrupted run leaves no half file."""
    partial = path.with_suffix('.partial')
    image.save(partial, format='PNG')
    partial.replace(path)
