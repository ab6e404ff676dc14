"""Pictures of a report's page: the image once, its masks as transparent layers upon it.

Shapes: C classes, H W image size, h w picture size. Layers are (h, w, 4) uint8 RGBA.
"""

import io
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from mmseg_g4seg.evaluation.records import COARSE, REFINED
from mmseg_g4seg.ops.palettes import BLUE, PURPLE, VERMILLION, voc_palette
from mmseg_g4seg.prediction import ClassList

TRUTH, CHANGES = 'truth', 'changes'
RIGHT, WRONG, OTHER = BLUE, VERMILLION, PURPLE
"""Pixels that changed: to the true class, from the true class, between wrong ones."""
UNLABELLED = (128, 128, 128, 110)
FILL, EDGE = 150, 255
"""Opacity of a region and of its border."""
SIZES = ((640, 80), (640, 60), (480, 60), (360, 50), (240, 40), (160, 30))
"""Longer side in pixels and WebP quality; the first is taken whose files fit `BUDGET`."""
BUDGET = 70_000
"""Bytes of one picture with its layers: 50 of them, as text in a page, stay below 5 MB."""


class Measured(Protocol):
    """What was measured of an image: an `ImageRecord`, or the record of segments or of instances."""

    @property
    def name(self) -> str:
        """Of the image."""

    @property
    def before_after(self) -> tuple[float, float]:
        """The leading figure of its coarse mask and of its refined one, per cent; NaN where there is none."""


@dataclass(frozen=True)
class Picture:
    """One image for a page; all of it is JSON.

    Attributes:
        name: of the image.
        before: leading figure of its coarse mask, such as mean IoU, per cent.
        after: of its refined one.
        size: width and height in pixels.
        photo: WebP file in base64; empty where the image could not be read.
        layers: likewise, of `coarse`, `refined`, `truth` and `changes`.
        classes: name and colour (`#rrggbb`) of each class that occurs in a layer.
        put_right: share of the labelled pixels, per cent.
        made_wrong: likewise.
    """

    name: str
    before: float
    after: float
    size: Sequence[int]
    photo: str
    layers: Mapping[str, str]
    classes: Sequence[Sequence[str]]
    put_right: float
    made_wrong: float

    @property
    def gain(self) -> float:
        """Of the refined mask over the coarse one, per cent."""
        return self.after - self.before


def draw_picture(
    record: Measured,
    image: np.ndarray | None,
    label_maps: Mapping[str, ArrayLike],
    truth: ArrayLike,
    classes: ClassList,
    *,
    ignore_index: int,
) -> Picture:
    """Draws one image and encodes it, within `BUDGET`.

    Args:
        record: of the image, measured against the truth.
        image: (H, W, 3) uint8 RGB, of any size; None where it cannot be read.
        label_maps: `coarse` and `refined`, (H, W) integer; values outside [0, C) are no class.
        truth: (H, W) integer.
        classes: C names, and their colours where they have some. The background is not painted.
        ignore_index: pixels of the truth that do not count.
    """
    maps = {stage: np.asarray(label_maps[stage]).astype(np.int64) for stage in (COARSE, REFINED)}
    labelled = np.asarray(truth).astype(np.int64)
    # one value for all that is unlabelled, so that what is shrunk knows of no other
    maps[TRUTH] = np.where((labelled == ignore_index) | (labelled < 0) | (labelled >= len(classes)), -1, labelled)
    counted = maps[TRUTH] >= 0
    right, wrong = (((maps[TRUTH] == maps[stage]) & counted) for stage in (REFINED, COARSE))
    colours = voc_palette(len(classes)) if classes.palette is None else np.array(classes.palette, np.uint8)
    size, photo, layers = _encode(maps, image, colours, classes.background)
    before, after = record.before_after
    return Picture(
        name=record.name,
        before=before,
        after=after,
        size=size,
        photo=b64encode(photo).decode(),
        layers={name: b64encode(file).decode() for name, file in layers.items()},
        classes=_occurring(maps.values(), classes, colours),
        put_right=100 * float((right & ~wrong).sum() / max(1, counted.sum())),
        made_wrong=100 * float((wrong & ~right).sum() / max(1, counted.sum())),
    )


def _encode(
    maps: Mapping[str, np.ndarray], image: np.ndarray | None, colours: np.ndarray, background: int | None
) -> tuple[tuple[int, int], bytes, dict[str, bytes]]:
    """Width and height, and the files of the photograph and of the layers, in the first size that fits.

    The maps are (H, W) integer, the image (H, W, 3), the colours (C, 3) uint8.
    """
    for side, quality in SIZES:
        shrunk = {name: shrink_labels(labels, side) for name, labels in maps.items()}
        layers = {name: mask_layer(labels, colours, background) for name, labels in shrunk.items()}
        layers[CHANGES] = _change_layer(**shrunk)
        height, width = shrunk[TRUTH].shape
        photo = b''
        if image is not None:
            resized = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
            photo = _webp(resized, quality=quality)
        files = {name: _webp(Image.fromarray(layer), lossless=True) for name, layer in layers.items()}
        if len(photo) + sum(map(len, files.values())) <= BUDGET:
            break
    return (width, height), photo, files


def shrink_labels(labels: np.ndarray, side: int) -> np.ndarray:
    """(H, W) -> (h, w) with the longer side at most `side`, by the nearest pixel: labels are not to be mixed."""
    height, width = labels.shape
    scale = min(1.0, side / max(height, width))
    rows = ((np.arange(max(1, round(height * scale))) + 0.5) * height / max(1, round(height * scale))).astype(int)
    columns = ((np.arange(max(1, round(width * scale))) + 0.5) * width / max(1, round(width * scale))).astype(int)
    return labels[rows[:, None], columns]


def mask_layer(labels: np.ndarray, colours: np.ndarray, background: int | None) -> np.ndarray:
    """Colours of the classes, opaque at borders: (h, w) integer -> (h, w, 4) uint8."""
    known = (labels >= 0) & (labels < len(colours))
    layer = np.empty((*labels.shape, 4), np.uint8)
    layer[..., :3] = colours[np.where(known, labels, 0)]
    border = np.zeros(labels.shape, bool)
    border[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    border[:-1] |= labels[:-1] != labels[1:]
    layer[..., 3] = np.where(border, EDGE, FILL)
    layer[~known] = UNLABELLED
    if background is not None:
        layer[labels == background] = 0  # the colour, too: what is not seen would take bytes
    return layer


def _change_layer(coarse: np.ndarray, refined: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """What the refiners changed where there is a truth: (h, w) integer each -> (h, w, 4) uint8."""
    layer = np.zeros((*truth.shape, 4), np.uint8)
    changed = (coarse != refined) & (truth >= 0)
    for where, colour in (
        (changed, OTHER),
        (changed & (refined == truth), RIGHT),
        (changed & (coarse == truth), WRONG),
    ):
        layer[where] = (*colour, 235)
    return layer


def _webp(image: Image.Image, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, 'WEBP', **options)
    return buffer.getvalue()


def _occurring(maps: Iterable[np.ndarray], classes: ClassList, colours: np.ndarray) -> list[tuple[str, str]]:
    """Names and colours of the classes of (H, W) maps, the background left out: it has no colour in the layers."""
    found = sorted({int(index) for labels in maps for index in np.unique(labels)})
    shown = [i for i in found if 0 <= i < len(classes) and i != classes.background]
    named = [(classes.labels[i], '#{:02x}{:02x}{:02x}'.format(*colours[i].tolist())) for i in shown]
    return list(dict.fromkeys(named))  # segments of one class have one name and colour
