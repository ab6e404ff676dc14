import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.evaluation.panels import HEADER, MARGIN, PANEL_HEIGHT, compose
from projects.experiments.pictures import COLUMNS, OTHER, RIGHT, WRONG, paint_changes
from projects.experiments.tests.test_experiments import PAMR, write_config
from tests.scripts import run_script


def test_changes_by_hand():
    before = torch.tensor([[0, 0, 0, 0, 0]])
    after = torch.tensor([[0, 1, 1, 1, 1]])
    truth = torch.tensor([[0, 1, 0, 2, 255]])
    painted = paint_changes(np.zeros((1, 5, 3), np.uint8), before, after, truth)
    grey = (127, 127, 127)
    assert [tuple(colour) for colour in painted[0].tolist()] == [grey, RIGHT, WRONG, OTHER, grey]


def test_sheet():
    panels = [Image.new('RGB', (20, 10), colour) for colour in ('red', 'blue')]
    sheet = np.asarray(compose(['image', 'truth'], [('one', panels), ('two', panels)]))
    assert sheet.shape == (HEADER + 2 * (HEADER + PANEL_HEIGHT + MARGIN), 2 * (2 * PANEL_HEIGHT + MARGIN) + MARGIN, 3)
    middle = 2 * HEADER + PANEL_HEIGHT // 2
    assert sheet[middle, MARGIN + PANEL_HEIGHT].tolist() == [255, 0, 0]
    assert sheet[middle, 2 * MARGIN + 3 * PANEL_HEIGHT].tolist() == [0, 0, 255]
    assert np.asarray(compose(['image', 'truth'], [])).min() < 128, 'it says that there is none'


@pytest.mark.parametrize('count', [1, 9])
def test_script_draws_the_best_and_the_worst(data, count):
    """Of six images, those that changed, and no other."""
    config = write_config(data, f'runs = dict(plain={PAMR!r})')
    result = run_script(
        'projects/experiments/__main__.py', config, '--out', data / 'out', '--sets', 'real', '--pictures', str(count)
    )
    assert result.returncode == 0, result.stderr
    (picture,) = (data / 'out/real').glob('*.png')
    (lines,) = (data / 'out/real').glob('*.jsonl')
    images = len(lines.read_text().splitlines())
    assert images == 6
    (row,) = [line for line in result.stdout.splitlines() if '| plain |' in line]
    better, worse = map(int, row.split('|')[8].split('/'))
    rows = min(better, count) + min(worse, count)
    height, width, _ = np.asarray(Image.open(picture)).shape
    assert rows > 0
    assert height == HEADER + rows * (HEADER + PANEL_HEIGHT + MARGIN)
    assert width > len(COLUMNS) * PANEL_HEIGHT
    assert json.loads(lines.read_text().splitlines()[0])['name'] == 'im0'
