"""Pictures of the page: masks over the picture, regions of too much and too little, a point and its match.

Shapes: C classes, H W size of the picture, s a scale; what is drawn is (s H, s W, 3) uint8 RGB.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from mmseg_g4seg.evaluation.html.pictures import RIGHT, WRONG, mask_layer
from mmseg_g4seg.ops.masks import over_under_regions
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.g4seg.inspection import Place, PointMatch

LEAST_SIDE = 512
"""Pixels: smaller pictures are enlarged by a whole number, so that a browser does not blur the mask's borders."""
OVER, UNDER = WRONG, RIGHT
"""Colours that colour-blind readers tell apart."""


def scale_of(pixels: np.ndarray) -> int:
    """How many times (H, W, 3) pixels are enlarged."""
    return max(1, -(-LEAST_SIDE // max(pixels.shape[:2])))


def enlarge(pixels: np.ndarray) -> np.ndarray:
    """A photograph as it is shown: (H, W, 3) uint8 -> (s H, s W, 3), smooth."""
    scale = scale_of(pixels)
    size = pixels.shape[1] * scale, pixels.shape[0] * scale
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def draw_mask(pixels: np.ndarray, label_map: Tensor, classes: ClassList) -> np.ndarray:
    """A mask in the classes' colours over the picture.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        label_map: (H, W) int64; background is not painted, what has no label is grey.
        classes: C names, with colours.

    Returns:
        (s H, s W, 3) uint8.
    """
    labels = _repeat(label_map.cpu().numpy(), scale_of(pixels))
    return _over(enlarge(pixels), mask_layer(labels, np.array(classes.palette, np.uint8), classes.background))


def draw_regions(pixels: np.ndarray, coarse: Tensor, refined: Tensor, class_index: int) -> np.ndarray:
    """Where the coarse mask has too much of a class and where too little, by the refined one or by the truth.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        coarse: (H, W) int64 labels.
        refined: (H, W) int64 labels.
        class_index: of the class.

    Returns:
        (s H, s W, 3) uint8: `OVER` and `UNDER` over the picture in grey.
    """
    scale = scale_of(pixels)
    pale = np.repeat(enlarge(pixels).mean(axis=-1, keepdims=True) * 0.55 + 110, 3, axis=-1).astype(np.uint8)
    layer = np.zeros((*pale.shape[:2], 4), np.uint8)
    for where, colour in zip(over_under_regions(coarse, refined, class_index), (OVER, UNDER), strict=True):
        layer[_repeat(where.cpu().numpy(), scale)] = (*colour, 220)
    return _over(pale, layer)


def draw_match(pixels: np.ndarray, match: PointMatch) -> np.ndarray:
    """The picture, bright where it resembles the point, with a ring around the best match.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        match: whose similarity is (H, W).

    Returns:
        (s H, s W, 3) uint8.
    """
    values = match.similarity.cpu().numpy()
    # the best tenth alone is bright: features of one picture are all alike in part
    low, high = np.quantile(values, 0.5), max(float(values.max()), float(np.quantile(values, 0.5)) + 1e-6)
    weight = np.clip((values - low) / (high - low), 0, 1)[..., None] ** 2
    lit = np.clip(pixels * (0.4 + 0.6 * weight), 0, 255).astype(np.uint8)
    return draw_point(lit, match.place)


def draw_point(pixels: np.ndarray, place: Place | None) -> np.ndarray:
    """A photograph, (H, W, 3) uint8, as it is shown, with a ring around a place: (s H, s W, 3) uint8."""
    picture = Image.fromarray(enlarge(pixels))
    if place is not None:
        scale = scale_of(pixels)
        x, y = (place[1] + 0.5) * scale, (place[0] + 0.5) * scale
        radius = max(picture.size) / 36
        draw = ImageDraw.Draw(picture)
        # white within black is seen on any ground
        for grown, colour, width in ((2, 'black', 7), (0, 'white', 3)):
            draw.ellipse(
                (x - radius - grown, y - radius - grown, x + radius + grown, y + radius + grown), None, colour, width
            )
    return np.asarray(picture)


def legend(entries: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Names beside their colours, as HTML."""
    items = ''.join(
        f'<li><span class="swatch" style="background:rgb({r},{g},{b})"></span>{escape(name)}</li>'
        for name, (r, g, b) in entries
    )
    return f'<ul class="legend">{items}</ul>'


def class_legend(classes: ClassList) -> str:
    """The classes that are painted, as HTML."""
    assert classes.palette is not None
    pairs = zip(classes.labels, classes.palette, strict=False)
    return legend([(name, colour) for i, (name, colour) in enumerate(pairs) if i != classes.background])


def _repeat(maps: np.ndarray, scale: int) -> np.ndarray:
    """(H, W) -> (s H, s W) by whole pixels: labels are not to be mixed."""
    return maps.repeat(scale, axis=0).repeat(scale, axis=1)


def _over(pixels: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """A layer (H, W, 4) over a picture (H, W, 3): (H, W, 3) uint8."""
    under = Image.fromarray(pixels).convert('RGBA')
    return np.asarray(Image.alpha_composite(under, Image.fromarray(layer)).convert('RGB'))
