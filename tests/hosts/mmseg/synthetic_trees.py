"""Small synthetic trees in the layout, the suffixes and the raw label ids of every data set config.

Shapes: H W image size; label maps (H, W) uint8 of raw ids, images (H, W, 3) uint8 RGB.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_g4seg.ops.palettes import voc_palette

TRAIN_IDS = tuple(range(19))
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
LABEL_IDS_IGNORED = tuple(i for i in range(34) if i not in LABEL_IDS)


@dataclass(frozen=True)
class Split:
    """One split: folders of images and labels, stem of the names (with {i}), file that lists the stems."""

    images: str
    labels: str
    stem: str
    listed_in: str = ''


@dataclass(frozen=True)
class Layout:
    """A data set's own: suffixes, the raw ids of classes, the raw ids that are ignored, splits."""

    image_suffix: str
    label_suffix: str
    ids: tuple[int, ...]
    ignored: tuple[int, ...]
    splits: tuple[Split, ...]


def _voc_like(ids: tuple[int, ...], ignored: tuple[int, ...], labels: str, lists: str) -> Layout:
    splits = tuple(
        Split('JPEGImages', labels, f'2010_{year}0{{i:02d}}', f'ImageSets/{lists}/{name}.txt')
        for name, year in (('train', '000'), ('val', '001'))
    )
    return Layout('.jpg', '.png', ids, ignored, splits)


LAYOUTS = {
    'ade20k': Layout(
        '.jpg',
        '.png',
        tuple(range(1, 151)),
        (0,),
        (
            Split('images/training', 'annotations/training', 'ADE_train_{i:08d}'),
            Split('images/validation', 'annotations/validation', 'ADE_val_{i:08d}'),
        ),
    ),
    'voc12': _voc_like(tuple(range(21)), (255,), 'SegmentationClass', 'Segmentation'),
    'voc12_20': _voc_like(tuple(range(1, 21)), (0, 255), 'SegmentationClass', 'Segmentation'),
    'pascal_context59': _voc_like(tuple(range(1, 60)), (0,), 'SegmentationClassContext', 'SegmentationContext'),
    'pascal_context60': _voc_like(tuple(range(60)), (255,), 'SegmentationClassContext', 'SegmentationContext'),
    'cityscapes': Layout(
        '_leftImg8bit.png',
        '_gtFine_labelTrainIds.png',
        TRAIN_IDS,
        (255,),
        (
            Split('leftImg8bit/train', 'gtFine/train', 'aachen/aachen_{i:06d}_000019'),
            Split('leftImg8bit/val', 'gtFine/val', 'frankfurt/frankfurt_{i:06d}_000294'),
        ),
    ),
    'dark_zurich': Layout(
        '_rgb_anon.png',
        '_gt_labelTrainIds.png',
        TRAIN_IDS,
        (255,),
        (Split('rgb_anon/val', 'gt/val', 'night/GOPR0356/GOPR0356_frame_{i:06d}'),),
    ),
    'night_driving': Layout(
        '_leftImg8bit.png',
        '_gtCoarse_labelTrainIds.png',
        TRAIN_IDS,
        (255,),
        (Split('leftImg8bit/test/night', 'gtCoarse_daytime_trainvaltest/test/night', '{i}'),),
    ),
    'nightcity': Layout(
        '.png',
        '_labelIds.png',
        LABEL_IDS,
        (*LABEL_IDS_IGNORED, 255),
        tuple(
            Split(f'NightCity-images/images/{name}', f'NightCity-label/label/{name}', f'City_{name}_{{i:04d}}')
            for name in ('train', 'val')
        ),
    ),
    'nightcity_fine': Layout(
        '.png',
        '_trainIds.png',
        TRAIN_IDS,
        (255,),
        tuple(Split(f'{name}/img', f'{name}/lbl', f'City_{name}_{{i:04d}}') for name in ('train', 'val')),
    ),
    'coco_object': Layout(
        '.jpg',
        '_instanceTrainIds.png',
        tuple(range(81)),
        (255,),
        tuple(
            Split(f'images/{name}2017', f'annotations/{name}2017', f'{start}{{i:09d}}')
            for name, start in (('train', '000'), ('val', '001'))
        ),
    ),
    'scenes': Layout(
        '.png',
        '.png',
        tuple(range(14)),
        (255,),
        tuple(Split(f'images/{name}', f'labels/{name}', '{i:05d}') for name in ('train', 'val')),
    ),
    'camvid': Layout(
        '.webp',
        '.png',
        TRAIN_IDS,
        (255,),
        tuple(Split(f'images/{name}', f'labels/{name}', f'{name}_{{i:05d}}') for name in ('train', 'day', 'dusk')),
    ),
}


def write_tree(name: str, root: Path, *, size: tuple[int, int] = (64, 96), images: int = 2, seed: int = 0) -> None:
    """Writes a tree that the config `configs/_base_/datasets/NAME.py` (scenes: the demo's) reads.

    Args:
        name: stem of the config.
        root: what the config's `data_root` is set to.
        size: (H, W) of images and labels.
        images: how many of every split.
        seed: of regions, classes and noise.
    """
    layout = LAYOUTS[name]
    generator = np.random.default_rng(seed)
    for split in layout.splits:
        stems = [split.stem.format(i=i) for i in range(images)]
        for stem in stems:
            labels = random_labels(layout, size, generator)
            _save(Image.fromarray(colour(labels, generator)), root / split.images / (stem + layout.image_suffix))
            _save(_label_image(name, labels), root / split.labels / (stem + layout.label_suffix))
        if split.listed_in:
            (root / split.listed_in).parent.mkdir(parents=True, exist_ok=True)
            (root / split.listed_in).write_text(''.join(f'{stem}\n' for stem in stems))


def random_labels(layout: Layout, size: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """Regions of five classes or fewer, nearest to random centres, and a corner that is ignored: (H, W) uint8."""
    height, width = size
    classes = generator.choice(layout.ids, min(5, len(layout.ids)), replace=False)
    centres = generator.random((8, 2)) * size
    rows, columns = np.mgrid[:height, :width]
    distances = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in centres]
    labels = classes[np.argmin(distances, axis=0) % len(classes)].astype(np.uint8)
    labels[: height // 8, : width // 8] = generator.choice(layout.ignored)
    return labels


def colour(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """An image to labels: a colour a raw id, and noise; (H, W) -> (H, W, 3) uint8."""
    noise = generator.normal(0, 8, (*labels.shape, 3))
    return (voc_palette()[labels] + noise).clip(0, 255).astype(np.uint8)


def pairs(name: str, root: Path) -> Iterator[tuple[Path, Path]]:
    """The (image, labels) pairs of a tree that was written, split by split."""
    layout = LAYOUTS[name]
    for split in layout.splits:
        start, end = split.stem.split('{i')[0], layout.image_suffix
        for path in sorted((root / split.images).glob(f'{start}*{end}')):
            stem = str(path.relative_to(root / split.images)).removesuffix(layout.image_suffix)
            yield path, root / split.labels / (stem + layout.label_suffix)


def _label_image(name: str, labels: np.ndarray) -> Image.Image:
    """VOC's labels are palette images, all others grey."""
    image = Image.fromarray(labels)
    if name.startswith('voc12'):
        image.putpalette(voc_palette().ravel().tolist())
    return image


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
