"""Sheets of pictures: where legends stand."""

import numpy as np
from PIL import Image

from mmseg_g4seg.evaluation.panels import HEADER, LEGEND_WIDTH, LINE, MARGIN, PANEL_HEIGHT, compose

ROWS = [(name, [Image.new('RGB', (20, 20), 'white')]) for name in ('one', 'zwölf')]


def test_legends_stand_beside_their_rows():
    red, blue = (255, 0, 0), (0, 0, 255)
    plain = np.asarray(compose(['labels'], ROWS))
    sheet = np.asarray(compose(['labels'], ROWS, legends=[[('road', red)], [('sky', blue), ('straße', red)]]))
    assert sheet.shape == (plain.shape[0], plain.shape[1] + LEGEND_WIDTH, 3)
    np.testing.assert_array_equal(sheet[:, : plain.shape[1]], plain)
    row, left = HEADER + PANEL_HEIGHT + MARGIN, plain.shape[1] + LINE // 2 - 2
    squares = [sheet[2 * HEADER + y + LINE // 2, left].tolist() for y in (0, row, row + LINE)]
    assert squares == [[*red], [*blue], [*red]]


def test_a_legend_has_no_more_lines_than_its_row():
    sheet = np.asarray(compose(['labels'], ROWS[:1], legends=[[('class', (0, 255, 0))] * 100]))
    green = (sheet == [0, 255, 0]).all(axis=-1).any(axis=1)  # (H,)
    assert green.any()
    assert green.nonzero()[0].max() < 2 * HEADER + PANEL_HEIGHT
