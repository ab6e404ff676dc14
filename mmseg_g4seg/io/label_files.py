"""Label maps in PNGs: indices, colours of a palette, one object.

Shapes: C classes, H W image size.
"""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.prediction import IGNORE_INDEX, ClassList, Prediction

from .images import open_whole
from .mask_files import FileMask, MaskFormat, as_labels
from .storage import AnyPath

SIXTEEN_BIT = ('I;16', 'I;16L', 'I;16B', 'I')


def open_png(path: AnyPath) -> Image.Image:
    """Opens and decodes a PNG, upright; ValueError or OSError if it is none, or damaged."""
    image = open_whole(path)
    if image.format != 'PNG':
        raise ValueError(f'expected a PNG, got {image.format}')
    return ImageOps.exif_transpose(image)


def png_bytes(image: Image.Image) -> bytes:
    """The content of a PNG file; the same image gives the same bytes."""
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    return buffer.getvalue()


def index_colours(classes: ClassList) -> np.ndarray:
    """Colours of all indices of a byte: (256, 3) uint8.

    VOC's where the classes' own end, so that unlabelled pixels have one, too.
    """
    own = np.array(classes.palette or [], np.uint8).reshape(-1, 3)
    return np.concatenate([own, voc_palette()[len(own) :]])


def read_index_png(path: AnyPath, num_classes: int, ignore_index: int = IGNORE_INDEX) -> Tensor:
    """Reads class indices: 8-bit grey, palette or 16-bit values -> (H, W) int64.

    Raises:
        ValueError: if there is an id that is neither a class nor `ignore_index`.
    """
    image = open_png(path)
    if image.mode not in ('L', 'P', *SIXTEEN_BIT):
        hint = ', of one bit, which binary-png reads' if image.mode == '1' else ''
        raise ValueError(f'expected one channel of class indices, got mode {image.mode}{hint}')
    labels = torch.from_numpy(np.asarray(image).astype(np.int64))
    check_labels(labels, num_classes, ignore_index)
    return labels


def check_labels(labels: Tensor, num_classes: int, ignore_index: int) -> None:
    """Raises ValueError, naming the others, unless (H, W) int64 labels are class indices or `ignore_index`."""
    unknown = labels[((labels < 0) | (labels >= num_classes)) & (labels != ignore_index)].unique().tolist()
    if unknown:
        raise ValueError(f'expected labels below {num_classes} or {ignore_index}, got {unknown}')


class IndexPNG(MaskFormat):
    """Class indices as 8-bit grey, palette or 16-bit values, 255 (65535) unlabelled; any palette is ignored."""

    suffix = '.png'

    def read(self, path: AnyPath) -> FileMask:
        return FileMask(label_map=read_index_png(path, len(self.classes), self.classes.ignore_index))

    def encode(self, prediction: Prediction, kept: Sequence[int] | None = None) -> bytes:
        labels = as_labels(prediction, self.classes.ignore_index, kept).cpu().numpy()
        return png_bytes(Image.fromarray(labels.astype(np.uint8 if _fits_byte(self.classes) else np.uint16)))


class PalettePNG(IndexPNG):
    """Class colours, in a palette image or as RGB: the colour decides, whatever its place in the palette."""

    def __init__(self, classes: ClassList) -> None:
        super().__init__(classes)
        if not _fits_byte(classes):
            raise ValueError(f'a palette PNG holds up to {IGNORE_INDEX} classes, got {len(classes)}')
        self.palette = index_colours(classes)
        # ADE20K's palette has two classes of one colour: a mask could not be read back
        indices = (*range(len(classes)), classes.ignore_index)
        self.table = {int(self._pack(self.palette[i])): i for i in indices}
        if len(self.table) < len(indices):
            raise ValueError(f'palette: expected different colours for the classes and for {classes.ignore_index}')

    def read(self, path: AnyPath) -> FileMask:
        image = open_png(path)
        if image.mode not in ('P', 'RGB'):
            raise ValueError(f'expected a palette image or RGB, got mode {image.mode}')
        # by colour, not by index: tools that optimise PNGs sort palettes anew
        packed = self._pack(np.asarray(image.convert('RGB')))
        colours, places = np.unique(packed, return_inverse=True)
        unknown = [f'#{colour:06x}' for colour in colours.tolist() if colour not in self.table]
        if unknown:
            raise ValueError(f'expected colours of the palette, got {", ".join(unknown[:8])}')
        indices = np.array([self.table[colour] for colour in colours.tolist()], np.int64)
        return FileMask(label_map=torch.from_numpy(indices[places].reshape(packed.shape)))

    @staticmethod
    def _pack(colours: np.ndarray) -> np.ndarray:
        """(..., 3) uint8 -> (...) one number a colour."""
        return (colours.astype(np.int64) * (65536, 256, 1)).sum(axis=-1)

    def encode(self, prediction: Prediction, kept: Sequence[int] | None = None) -> bytes:
        labels = as_labels(prediction, self.classes.ignore_index, kept).cpu().numpy()
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(self.palette.ravel().tolist())
        return png_bytes(image)


class BinaryPNG(MaskFormat):
    """The mask of one named object: two classes, background and the object; 0 and 255 (or 1), or black and white.

    What has no label is written as background.
    """

    suffix = '.png'

    def __init__(self, classes: ClassList) -> None:
        super().__init__(classes)
        if len(classes) != 2:
            raise ValueError(f'binary-png holds one object: expected two classes, got {list(classes)}')
        self.background = classes.background or 0

    def read(self, path: AnyPath) -> FileMask:
        image = open_png(path)
        if image.mode not in ('1', 'L', 'P'):
            raise ValueError(f'expected one channel of 0 and 255 (or 1), got mode {image.mode}')
        values = np.asarray(image).astype(np.int64)  # 1-bit images come as bool
        if image.mode == 'P' and _is_black_and_white(image):
            values = np.asarray(image.convert('L')).astype(np.int64)
        found = set(np.unique(values).tolist())
        if not (found <= {0, 255} or found <= {0, 1}):
            raise ValueError(f'expected 0 and 255 (or 0 and 1), got {sorted(found)[:8]}')
        labels = np.where(values > 0, 1 - self.background, self.background)
        return FileMask(label_map=torch.from_numpy(labels))

    def encode(self, prediction: Prediction, kept: Sequence[int] | None = None) -> bytes:
        foreground = (as_labels(prediction, IGNORE_INDEX, kept) == 1 - self.background).cpu().numpy()
        return png_bytes(Image.fromarray(foreground.astype(np.uint8) * 255))


def _is_black_and_white(image: Image.Image) -> bool:
    """Whether the colours of a palette image say what the object is, not their places.

    Tools that count colours put the most frequent one first: a mask of a small object has black at index 0, of a large
    one white.
    """
    white = (255, 255, 255)
    palette = image.getpalette() or []
    colours = [tuple(palette[i : i + 3]) for i in range(0, len(palette), 3)]
    used = {colours[i] for i in np.unique(np.asarray(image)).tolist() if i < len(colours)}
    return used == {(0, 0, 0), white} or (white in colours and {*colours} <= {(0, 0, 0), white})


def _fits_byte(classes: ClassList) -> bool:
    """Whether 8 bits hold the classes and the value of unlabelled pixels."""
    return classes.ignore_index == IGNORE_INDEX
