"""What a user gives to the page, checked: a picture, class names, and a coarse mask from strokes or from a file.

Shapes: C classes, H W size of the picture as it is refined, h w grid of a file.
"""

import colorsys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from mmseg_g4seg.evaluation.html.pictures import shrink_labels
from mmseg_g4seg.io.class_files import distinct_classes
from mmseg_g4seg.io.formats import build_format, label_format
from mmseg_g4seg.io.images import read_pixels
from mmseg_g4seg.io.mask_files import FileMask, make_prediction
from mmseg_g4seg.ops.masks import BORDER_WIDTH
from mmseg_g4seg.prediction import ClassList, Prediction

LONGEST = 1024
"""Longer side of a picture, pixels, at most; a phone's 12 megapixels would take gigabytes of probabilities."""
GOLDEN_ANGLE = 0.381966
"""Of a turn: hues that are so far apart stay apart, however many there are."""


@dataclass(frozen=True)
class Picture:
    """A picture as it is refined.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        original: height and width of the file, before it was shrunk.
    """

    pixels: np.ndarray
    original: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """H and W."""
        return self.pixels.shape[0], self.pixels.shape[1]


def open_picture(path: Path | None) -> Picture:
    """Reads a picture upright, and shrinks it to `LONGEST`.

    Raises:
        OSError: if it cannot be read.
        ValueError: if there is none, or it has other than 8 bits a channel.
    """
    if path is None:
        raise ValueError('picture: expected one, got none; take a scene, or upload a picture of your own')
    with _named('picture', path):
        pixels = read_pixels(path)
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGEST / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    return Picture(pixels, (height, width))


def named_classes(text: str) -> ClassList:
    """Classes of names with commas or line breaks between, each with a colour of its own.

    Raises:
        ValueError: if there is one name alone, or two are the same.
    """
    names = [name.strip() for name in text.replace('\n', ',').split(',') if name.strip()]
    return distinct_classes(ClassList(names, palette=class_colours(len(names))))


def class_colours(count: int) -> list[tuple[int, int, int]]:
    """Colours of a number of classes: hues far apart, every other one darker."""
    hues = [(0.58 + i * GOLDEN_ANGLE) % 1 for i in range(count)]
    lights = [0.62 if i % 2 else 0.47 for i in range(count)]
    rgb = [colorsys.hls_to_rgb(hue, light, 0.68) for hue, light in zip(hues, lights, strict=True)]
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in rgb]


def painted_mask(layers: Sequence[np.ndarray], classes: ClassList, size: tuple[int, int]) -> FileMask:
    """Class indices of strokes: each pixel takes the class whose colour is nearest, later layers over earlier ones.

    Args:
        layers: (h, w, 4) uint8 RGBA each.
        classes: with their colours.
        size: (H, W) of the picture.

    Returns:
        (H, W) labels. What is not painted is background, or has no label where no class is called so.

    Raises:
        ValueError: if nothing is painted.
    """
    palette = np.array(classes.palette, np.int64)  # (C, 3)
    empty = classes.ignore_index if classes.background is None else classes.background
    labels = np.full(size, empty, np.int64)
    for layer in layers:
        # the editor may export at the size of its canvas
        fitted = np.asarray(Image.fromarray(layer).resize(size[::-1], Image.Resampling.NEAREST)).astype(np.int64)
        painted = fitted[..., 3] > 127  # the soft rim of a brush is no stroke
        strokes = fitted[painted][:, None, :3]  # (n, 1, 3)
        labels[painted] = ((strokes - palette) ** 2).sum(axis=-1).argmin(axis=-1)
    if (labels == empty).all():
        raise ValueError('coarse mask: expected strokes of at least one class, got none; paint, upload or make a mask')
    return FileMask(label_map=torch.from_numpy(labels))


def read_mask(path: Path | None, classes: ClassList, picture: Picture) -> FileMask:
    """Reads an uploaded mask: class indices or one object in a PNG, probabilities in `.npz` or `.npy`.

    Args:
        path: of the file.
        classes: C names.
        picture: labels of its original size are shrunk with it; probabilities may lie on any grid.

    Returns:
        (H, W) labels, or (C, h, w) probabilities.

    Raises:
        OSError: if it cannot be read.
        ValueError: if there is none, or it does not fit picture and names.
    """
    if path is None:
        raise ValueError('coarse mask: expected a file, got none; upload one, or paint or make a mask')
    kind = path.suffix.lower().removeprefix('.')
    if kind not in ('png', 'npy', 'npz'):
        raise ValueError(f'coarse mask: expected .png, .npy or .npz, got {path.name}')
    with _named('coarse mask', path):
        mask = (label_format(path, classes) if kind == 'png' else build_format(kind, classes)).read(path)
        if mask.label_map is not None and tuple(mask.label_map.shape) == picture.original:
            shrunk = shrink_labels(mask.label_map.numpy(), max(picture.size))
            mask = FileMask(label_map=torch.from_numpy(shrunk))
        if mask.probs is not None:
            mask = FileMask(probs=mask.planes(range(len(classes))))
        as_prediction(mask, classes, picture.size)  # which checks the size
    return mask


def as_prediction(mask: FileMask, classes: ClassList, size: tuple[int, int]) -> Prediction:
    """The coarse prediction of a mask, as a folder of masks would be read.

    Args:
        mask: (H, W) labels or (C, h, w) probabilities.
        classes: C names.
        size: (H, W) of the picture.

    Raises:
        ValueError: if labels are of another size.
    """
    return make_prediction(mask, size, len(classes), soften=BORDER_WIDTH, any_size=True, classes=classes)


def as_tensor(picture: Picture) -> Tensor:
    """(3, H, W) float32 RGB in [0, 1]."""
    return torch.from_numpy(picture.pixels).permute(2, 0, 1).float() / 255


@contextmanager
def _named(what: str, path: Path) -> Iterator[None]:
    """Says in errors what is wrong with which file; Pillow's own have its place in a temporary folder."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise ValueError(f'{what}: expected an image, got {path.name}, which is none') from error
    except ValueError as error:
        raise ValueError(f'{what}: {error}') from error
