"""What figures are drawn of: panels with masks, heat maps and numbered places on an image, and a legend below.

Shapes: C classes, H W image size, s a scale; panels are (s H, s W, 3) uint8 RGB.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from mmseg_g4seg.evaluation.panels import GAP, Legend, draw_text, lay_out
from mmseg_g4seg.io.images import to_pixels
from mmseg_g4seg.ops.palettes import heat_colours

Panel = tuple[str, np.ndarray]
"""Title and picture."""

PANEL_SIDE = 320
"""Least shorter side of a panel, pixels: smaller images are enlarged by a whole number."""
LONGEST = 960
"""Most that its longer side may be."""
TITLE, LINE = 28, 28
"""Height of titles, and of a line of the legend."""
OPACITY = 0.6


def fitted(pixels: np.ndarray, *, smooth: bool = False) -> np.ndarray:
    """Brings a picture to the size of a panel: (H, W, 3) uint8 -> (s H, s W, 3), s a whole number where it grows.

    Args:
        pixels: of a picture.
        smooth: bicubic, for photographs; else pixels stay squares, since colours of classes must not mix.
    """
    height, width = pixels.shape[:2]
    grown = max(1, -(-PANEL_SIDE // min(height, width)))
    # four street scenes of 2048 x 1024 in a row would be 8,000 pixels wide
    scale = min(grown, LONGEST / max(height, width))
    resample = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return np.asarray(
        Image.fromarray(pixels).resize((max(1, round(width * scale)), max(1, round(height * scale))), resample)
    )


def photo(image: Tensor) -> np.ndarray:
    """(3, H, W) float RGB in [0, 1] -> (s H, s W, 3) uint8."""
    return fitted(to_pixels(image), smooth=True)


def painted(image: Tensor, colours: np.ndarray, where: np.ndarray, *, opacity: float = OPACITY) -> np.ndarray:
    """Colours over an image, with a line around each.

    Args:
        image: (3, H, W) float RGB in [0, 1].
        colours: (H, W, 3) uint8.
        where: (H, W) bool, the pixels to paint.
        opacity: of the colours, in [0, 1].

    Returns:
        (s H, s W, 3) uint8.
    """
    under, over = photo(image), fitted(colours)
    mask = fitted(np.repeat(where[..., None].astype(np.uint8), 3, axis=2))
    mixed = np.where(mask > 0, under * (1 - opacity) + over * opacity, under).round().astype(np.uint8)
    # a region is told from its neighbour by the line, too: two colours may look alike on a photograph
    shown = np.where(mask > 0, over.astype(int) + 1, 0)
    border = np.zeros(shown.shape[:2], bool)
    border[:, 1:] |= (shown[:, 1:] != shown[:, :-1]).any(axis=-1)
    border[1:] |= (shown[1:] != shown[:-1]).any(axis=-1)
    border[:, :-1] |= border[:, 1:]
    border[:-1] |= border[1:]
    mixed[border] = 255
    return mixed


def heat_panel(image: Tensor, values: Tensor, low: float, high: float) -> np.ndarray:
    """A heat map over an image in grey.

    Args:
        image: (3, H, W) float RGB in [0, 1].
        values: (H, W) float.
        low: value of the darkest colour.
        high: value of the brightest.

    Returns:
        (s H, s W, 3) uint8.
    """
    scaled = ((values.float().cpu() - low) / max(high - low, 1e-9)).clamp(0, 1)
    grey = photo(image.mean(dim=0, keepdim=True).expand(3, -1, -1))
    return (0.25 * grey + 0.75 * fitted(heat_colours(scaled.numpy()), smooth=True)).round().astype(np.uint8)


def numbered(panel: np.ndarray, places: Mapping[int, tuple[int, int]], size: Sequence[int]) -> np.ndarray:
    """Puts numbered crosses on a panel.

    Args:
        panel: (s H, s W, 3) uint8.
        places: number, and (row, column) in pixels of the image.
        size: (H, W).

    Returns:
        (s H, s W, 3) uint8.
    """
    picture = Image.fromarray(panel)
    draw = ImageDraw.Draw(picture)
    radius = max(9, min(panel.shape[:2]) // 28)
    for number, (row, column) in places.items():
        x = round((column + 0.5) * panel.shape[1] / size[1])
        y = round((row + 0.5) * panel.shape[0] / size[0])
        for colour, width in (('black', 5), ('white', 3)):  # white alone is lost on snow
            draw.line((x - 2 * radius, y, x + 2 * radius, y), colour, width)
            draw.line((x, y - 2 * radius, x, y + 2 * radius), colour, width)
        # in the place's own corner of the cross, or the disc would hide what it points at; never over the edge
        left = x if x + 2 * radius < panel.shape[1] else x - 2 * radius
        top = y - 2 * radius if y >= 2 * radius else y
        draw.ellipse((left, top, left + 2 * radius, top + 2 * radius), 'white', 'black', 2)
        digit = draw_text(str(number), round(1.3 * radius))
        picture.paste(
            digit.convert('RGB'), (left + radius - digit.width // 2 + 1, top + radius - digit.height // 2 + 1)
        )
    return np.asarray(picture)


def sheet(rows: Sequence[Sequence[Panel]], legend: Legend = ()) -> np.ndarray:
    """Puts rows of panels below each other, and a legend below them.

    Args:
        rows: of panels of one size.
        legend: names and colours.

    Returns:
        (height, width, 3) uint8, white around and between.
    """
    strips = [lay_out(row, title_height=TITLE) for row in rows]
    width = max(strip.shape[1] for strip in strips)
    parts: list[np.ndarray] = []
    for strip in [*strips, *_legend_lines(legend, width)]:
        padding = ((0, GAP), (0, width - strip.shape[1]), (0, 0))
        parts.append(np.pad(strip, padding, constant_values=255))
    return np.pad(np.concatenate(parts), ((GAP, GAP), (2 * GAP, 2 * GAP), (0, 0)), constant_values=255)


def _legend_lines(legend: Legend, width: int) -> list[np.ndarray]:
    """Entries of a legend, in as many lines as they need: (LINE, width, 3) uint8 each."""
    lines: list[np.ndarray] = []
    left = width
    for name, colour in legend:
        text = draw_text(name, LINE - 8)
        text = text if text.width < width - LINE else text.resize((width - LINE, text.height))
        if left + LINE + text.width > width:
            lines.append(np.full((LINE, width, 3), 255, np.uint8))
            left = 0
        lines[-1][3 : LINE - 5, left : left + LINE - 8] = colour
        lines[-1][3 : 3 + text.height, left + LINE - 4 : left + LINE - 4 + text.width] = np.asarray(text)[
            :, : width - left - LINE + 4, None
        ]
        left += LINE + text.width + LINE
    return lines
