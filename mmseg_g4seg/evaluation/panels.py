"""Pictures side by side: rows under captions for a sheet, one row under titles for a single image.

Shapes: H W picture size, T height of the titles, n panels.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PANEL_HEIGHT = 224
MARGIN = 6
HEADER = 18
GAP = 4
"""White pixels between two panels of one row."""
TITLE_HEIGHT = 20
"""Least height of titles, pixels; a share of tall images, which are looked at from farther away."""
TITLE_SHARE = 1 / 24
SMOOTH = ('image', 'reconstruction', 'overlay')
"""Titles of columns with photographs; the others show labels, whose colours are not to be mixed."""
LEGEND_WIDTH, LINE = 190, 14

Legend = Sequence[tuple[str, tuple[int, ...]]]
"""Names with their colours, RGB in 0 to 255."""


def compose(
    titles: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Image.Image]]],
    *,
    legends: Sequence[Legend] = (),
) -> Image.Image:
    """Lays rows of panels out under their captions.

    Args:
        titles: of the columns.
        rows: a caption, and a picture a column, all of a row of one size.
        legends: one a row, at its end, or none at all; what has no room is left out.

    Returns:
        The sheet; without rows it says so.
    """
    widths = [round(panels[0].width * PANEL_HEIGHT / panels[0].height) for _, panels in rows] or [PANEL_HEIGHT]
    width = len(titles) * (max(widths) + MARGIN) + MARGIN
    right, width = width, width + (LEGEND_WIDTH if legends else 0)
    height = HEADER + max(1, len(rows)) * (HEADER + PANEL_HEIGHT + MARGIN)
    sheet = Image.new('RGB', (width, height), 'white')
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((MARGIN + column * (max(widths) + MARGIN), 3), title, fill='black')
    if not rows:
        draw.text((MARGIN, HEADER), 'no image changed', fill='black')
    for row, ((caption, panels), panel_width) in enumerate(zip(rows, widths, strict=False)):
        top = HEADER + row * (HEADER + PANEL_HEIGHT + MARGIN)
        draw.text((MARGIN, top + 3), _plain(caption), fill='black')
        for column, (title, panel) in enumerate(zip(titles, panels, strict=True)):
            resample = Image.Resampling.BICUBIC if title in SMOOTH else Image.Resampling.NEAREST
            left = MARGIN + column * (max(widths) + MARGIN)
            sheet.paste(panel.resize((panel_width, PANEL_HEIGHT), resample), (left, top + HEADER))
    for row, legend in enumerate(legends):
        _draw_legend(draw, legend, right, HEADER + row * (HEADER + PANEL_HEIGHT + MARGIN) + HEADER)
    return sheet


def _draw_legend(draw: ImageDraw.ImageDraw, legend: Legend, left: int, top: int) -> None:
    for line, (name, colour) in enumerate(legend[: PANEL_HEIGHT // LINE]):
        y = top + LINE * line
        draw.rectangle((left, y + 2, left + LINE - 4, y + LINE - 2), fill=colour, outline='black')
        draw.text((left + LINE, y), _plain(name), fill='black')


def _plain(text: str) -> str:
    """ASCII: the default font of older releases of Pillow raises an error at other letters."""
    return text.encode('ascii', 'replace').decode()


def lay_out(panels: Sequence[tuple[str, np.ndarray]], *, title_height: int = TITLE_HEIGHT) -> np.ndarray:
    """Puts titled pictures of one height in a row, pixel by pixel as they are.

    Args:
        panels: title and (H, W, 3) uint8 RGB of each.
        title_height: least T, pixels.

    Returns:
        (T + H, n (W + GAP) - GAP, 3) uint8 RGB for n panels of one width: titles T pixels high, black on white.
    """
    height = max(title_height, round(panels[0][1].shape[0] * TITLE_SHARE))
    columns = [np.concatenate([text_strip(title, picture.shape[1], height), picture]) for title, picture in panels]
    row = [columns[0]]
    for column in columns[1:]:
        row += [np.full((len(column), GAP, 3), 255, np.uint8), column]
    return np.concatenate(row, axis=1)


def text_strip(text: str, width: int, height: int) -> np.ndarray:
    """A line of black text on white, as large as fits: (height, width, 3) uint8."""
    drawn = draw_text(text, round(0.7 * height))
    if drawn.width > width - 6:
        drawn = drawn.resize((max(1, width - 6), max(1, round(drawn.height * (width - 6) / drawn.width))))
        # scaled far down, thin strokes turn to a light grey
        drawn = drawn.point([max(0, 255 - 3 * (255 - value)) for value in range(256)])
    strip = Image.new('L', (width, height), 255)
    strip.paste(drawn, (2, (height - drawn.height) // 2))
    return np.asarray(strip.convert('RGB'))


def draw_text(text: str, height: int) -> Image.Image:
    """A line of black text on white, of a height in pixels: a grey picture of its own width."""
    try:
        font = ImageFont.load_default(2 * height)
    except TypeError:  # Pillow below 10.1: one font of one size, without letters beyond Latin-1
        font, text = ImageFont.load_default(), _plain(text)
    left, _, right, _ = font.getbbox(text)
    _, top, _, bottom = font.getbbox('Ag')  # by the line, not by the letters: 'coarse' has none above the others
    drawn = Image.new('L', (int(right - left) + 2, int(bottom - top) + 2), 255)
    ImageDraw.Draw(drawn).text((1 - left, 1 - top), text, fill=0, font=font)
    return drawn.resize((max(1, round(drawn.width * height / drawn.height)), height))
