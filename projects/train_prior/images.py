"""Images with tags or label maps, held in memory at the training size.

Shapes: N images, H W training size; images (N, 3, H, W) uint8 RGB, label maps (N, H, W) uint8.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from mmseg_g4seg.io.images import IMAGE_SUFFIXES, open_whole, rgb_pixels
from mmseg_g4seg.io.label_files import open_png
from mmseg_g4seg.prediction import IGNORE_INDEX


@dataclass(frozen=True)
class TrainingImages:
    """A set of images in memory.

    Attributes:
        images: (N, 3, H, W) uint8 RGB.
        label_maps: (N, H, W) uint8, 255 where unlabelled; None when the set has tags alone.
        present: for each image the indices of the classes in it.
        classes: the names that the indices stand for.
    """

    images: Tensor
    label_maps: Tensor | None
    present: list[list[int]]
    classes: list[str]

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Sequence[int]) -> 'TrainingImages':
        index = torch.as_tensor(indices, dtype=torch.long)
        labels = None if self.label_maps is None else self.label_maps[index]
        return TrainingImages(self.images[index], labels, [self.present[i] for i in indices], self.classes)


def load_training_images(
    images: Path,
    classes: Sequence[str],
    *,
    size: tuple[int, int],
    labels: Path | None = None,
    tags: Path | None = None,
    views: int = 1,
    light: float = 0.0,
    seed: int = 0,
) -> TrainingImages:
    """Reads a folder of images with their label maps or tags.

    Args:
        images: folder of images.
        classes: name of each class index.
        size: (H, W) that every view is resized to.
        labels: folder of 8-bit index PNGs of the images' names, 255 = ignore.
        tags: JSON file, `{image name without suffix: [class name, ...]}`; read where there are no
            label maps.
        views: views of each image: the whole of it, then random crops of 60 to 100 % of its sides.
        light: how much exposure and colour of the crops vary, see `change_light`.
        seed: of the crops and their light.

    Returns:
        `views` entries an image, next to each other.

    Raises:
        ValueError: if the folder holds no image, an image has neither labels nor tags, or a label
            or tag is not among the classes.
        FileNotFoundError: if a label map is missing.
    """
    paths = sorted(p for p in Path(images).iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ValueError(f'expected images ({", ".join(IMAGE_SUFFIXES)}) in {images}, found none')
    if (labels is None) == (tags is None):
        raise ValueError('expected either label maps or tags, got both or neither')
    tag_table = None if tags is None else json.loads(Path(tags).read_text())
    generator = np.random.default_rng(seed)
    pixels, maps, present = [], [], []
    for path in tqdm(paths, 'reading images', leave=False):
        # upright and of 8 bits a channel, or an error, as the refiner will read pictures of the same folder
        image = Image.fromarray(rgb_pixels(open_whole(path)))
        label_map = None if labels is None else _read_label_map(Path(labels) / f'{path.stem}.png', image.size)
        for view in range(views):
            box = (0, 0, *image.size) if view == 0 else _random_box(generator, image.size)
            shown = np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC, box=box, reducing_gap=3))
            pixels.append(change_light(shown, light, generator) if view and light else shown)
            if label_map is not None:
                maps.append(np.asarray(label_map.resize(size[::-1], Image.Resampling.NEAREST, box=box)))
                present.append(_present_classes(maps[-1], len(classes), path))
            elif tag_table is not None:
                present.append(_tagged_classes(tag_table, path, classes))
    return TrainingImages(
        torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack(maps)) if maps else None,
        present,
        list(classes),
    )


def change_light(pixels: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
    """Changes exposure and colour at random, rather to darker than to brighter.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        strength: 1 for a gamma of 0.6 to 2.7 and channels 0.78 to 1.28 times as bright; 0 for no change.
        generator: of the draws.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    gamma = np.exp(strength * generator.uniform(-0.5, 1.0))
    gains = np.exp(strength * generator.uniform(-0.25, 0.25, 3))
    return ((pixels / 255.0) ** gamma * gains * 255).round().clip(0, 255).astype(np.uint8)


def _random_box(generator: np.random.Generator, size: tuple[int, int]) -> tuple[float, float, float, float]:
    width, height = size
    scale = generator.uniform(0.6, 1.0)
    left, top = generator.uniform(0, (1 - scale) * width), generator.uniform(0, (1 - scale) * height)
    return left, top, left + scale * width, top + scale * height


def _read_label_map(path: Path, image_size: tuple[int, int]) -> Image.Image:
    if not path.exists():
        raise FileNotFoundError(f'expected the label map {path} beside its image')
    label_map = open_png(path)
    if label_map.size != image_size:
        raise ValueError(f'{path}: expected {image_size} pixels as its image has, got {label_map.size}')
    return label_map


def _present_classes(label_map: np.ndarray, num_classes: int, path: Path) -> list[int]:
    """Classes that cover at least 0.1 % of the view."""
    counts = np.bincount(label_map.ravel(), minlength=256)
    unknown = [int(i) for i in np.flatnonzero(counts) if num_classes <= i != IGNORE_INDEX]
    if unknown:
        raise ValueError(f'label map of {path}: expected ids below {num_classes} or {IGNORE_INDEX}, got {unknown}')
    return [int(i) for i in np.flatnonzero(counts[:num_classes] >= label_map.size * 0.001)]


def _tagged_classes(table: dict[str, list[str]], path: Path, classes: Sequence[str]) -> list[int]:
    if path.stem not in table:
        raise ValueError(f'{path.name} has no entry in the tags')
    unknown = [name for name in table[path.stem] if name not in classes]
    if unknown:
        raise ValueError(f'tags of {path.name}: {unknown} are not among the classes {list(classes)}')
    return [classes.index(name) for name in table[path.stem]]
