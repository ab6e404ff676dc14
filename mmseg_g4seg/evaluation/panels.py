"""Rows of pictures side by side, each row under a caption."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

PANEL_HEIGHT = 224
MARGIN = 6
HEADER = 18
SMOOTH = ('image', 'reconstruction')
"""Titles of columns with photographs; the others show labels, whose colours are not to be mixed."""


def compose(titles: Sequence[str], rows: Sequence[tuple[str, Sequence[Image.Image]]]) -> Image.Image:
    """Lays rows of panels out under their captions.

    Args:
        titles: of the columns.
        rows: a caption, and a picture a column, all of a row of one size.

    Returns:
        The sheet; without rows it says so.
    """
    widths = [round(panels[0].width * PANEL_HEIGHT / panels[0].height) for _, panels in rows] or [PANEL_HEIGHT]
    width = len(titles) * (max(widths) + MARGIN) + MARGIN
    height = HEADER + max(1, len(rows)) * (HEADER + PANEL_HEIGHT + MARGIN)
    sheet = Image.new('RGB', (width, height), 'white')
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        draw.text((MARGIN + column * (max(widths) + MARGIN), 3), title, fill='black')
    if not rows:
        draw.text((MARGIN, HEADER), 'no image changed', fill='black')
    for row, ((caption, panels), panel_width) in enumerate(zip(rows, widths, strict=False)):
        top = HEADER + row * (HEADER + PANEL_HEIGHT + MARGIN)
        draw.text((MARGIN, top + 3), caption, fill='black')
        for column, (title, panel) in enumerate(zip(titles, panels, strict=True)):
            resample = Image.Resampling.BICUBIC if title in SMOOTH else Image.Resampling.NEAREST
            left = MARGIN + column * (max(widths) + MARGIN)
            sheet.paste(panel.resize((panel_width, PANEL_HEIGHT), resample), (left, top + HEADER))
    return sheet
