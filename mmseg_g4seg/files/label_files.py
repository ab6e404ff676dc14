"""Label maps in PNGs: indices, colours of a palette, one object.

Shapes: C classes, H W image size.
"""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..refiners import Prediction
from .classes import IGNORE_INDEX
from .masks import FileMask, MaskFormat, as_labels

SIXTEEN_BIT = ('I;16', 'I;16L', 'I;16B', 'I')


def open_png(path: Path) -> Image.Image:
    """Opens and decodes a PNG; ValueError or OSError if it is none."""
    with Image.open(path) as image:
        if image.format != 'PNG':
            raise ValueError(f'expected a PNG, got {image.format}')
        image.load()
        return image.copy()


def png_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    return buffer.getvalue()


def read_index_png(path: Path, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Reads class indices: 8-bit grey, palette or 16-bit values -> (H, W) int64.

    Raises:
        ValueError: if there is an id that is neither a class nor `ignore_index`.
    """
    image = open_png(path)
    if image.mode not in ('L', 'P', *SIXTEEN_BIT):
        raise ValueError(f'expected one channel of class indices, got mode {image.mode}')
    labels = np.asarray(image).astype(np.int64)
    found = np.unique(labels)
    unknown = found[((found < 0) | (found >= num_classes)) & (found != ignore_index)]
    if len(unknown):
        raise ValueError(f'expected labels below {num_classes} or {ignore_index}, got {unknown.tolist()}')
    return torch.from_numpy(labels)


class IndexPNG(MaskFormat):
    """Class indices as 8-bit grey, palette or 16-bit values, 255 (65535) unlabelled; any palette is ignored."""

    suffix = '.png'

    def read(self, path: Path) -> FileMask:
        return FileMask(label_map=read_index_png(path, len(self.classes), self.classes.ignore_index))

    def encode(self, prediction: Prediction) -> bytes:
        labels = as_labels(prediction, self.classes.ignore_index).cpu().numpy()
        return png_bytes(Image.fromarray(labels.astype(np.uint8 if len(self.classes) <= 255 else np.uint16)))


class PalettePNG(IndexPNG):
    """Class colours, in a palette image or as RGB: the colour decides, whatever its place in the palette."""

    def read(self, path: Path) -> FileMask:
        image = open_png(path)
        if image.mode not in ('P', 'RGB'):
            raise ValueError(f'expected a palette image or RGB, got mode {image.mode}')
        packed = self._pack(np.asarray(image.convert('RGB')))
        colours, places = np.unique(packed, return_inverse=True)
        table = {int(colour): i for i, colour in reversed(list(enumerate(self._pack(self.classes.palette))))}
        named = {c: i for c, i in table.items() if i < len(self.classes) or i == self.classes.ignore_index}
        unknown = [f'#{int(colour):06x}' for colour in colours if int(colour) not in named]
        if unknown:
            raise ValueError(f'expected colours of the palette, got {", ".join(unknown[:8])}')
        indices = np.array([named[int(colour)] for colour in colours], np.int64)
        return FileMask(label_map=torch.from_numpy(indices[places].reshape(packed.shape)))

    @staticmethod
    def _pack(colours: np.ndarray) -> np.ndarray:
        """(..., 3) uint8 -> (...) one number a colour."""
        return (colours.astype(np.int64) * (65536, 256, 1)).sum(axis=-1)

    def encode(self, prediction: Prediction) -> bytes:
        if len(self.classes) > 255:
            raise ValueError(f'a palette PNG holds up to 255 classes, got {len(self.classes)}')
        labels = as_labels(prediction, self.classes.ignore_index).cpu().numpy().astype(np.uint8)
        image = Image.fromarray(labels, 'L').convert('P')
        image.putdata(labels.ravel().tolist())
        image.putpalette(self.classes.palette.ravel().tolist())
        return png_bytes(image)


class BinaryPNG(MaskFormat):
    """The mask of one named object: two classes, background and the object; 0 and 255 (or 1)."""

    suffix = '.png'

    def read(self, path: Path) -> FileMask:
        image = open_png(path)
        if image.mode not in ('1', 'L', 'P'):
            raise ValueError(f'expected one channel of 0 and 255 (or 1), got mode {image.mode}')
        values = np.asarray(image).astype(np.int64)
        found = set(np.unique(values).tolist())
        if not (found <= {0, 255} or found <= {0, 1}):
            raise ValueError(f'expected 0 and 255 (or 0 and 1), got {sorted(found)[:8]}')
        return FileMask(label_map=torch.from_numpy((values > 0).astype(np.int64)))

    def encode(self, prediction: Prediction) -> bytes:
        if len(self.classes) != 2:
            raise ValueError(f'a binary mask holds two classes, background and the object, got {len(self.classes)}')
        background = self.classes.background_index or 0
        foreground = (prediction.label_map == 1 - background).cpu().numpy()
        return png_bytes(Image.fromarray(foreground.astype(np.uint8) * 255))
