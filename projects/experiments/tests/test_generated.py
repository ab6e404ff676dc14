"""Generated masks against a segmentor's labels, whose figures can be counted by hand."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.io.formats import build_format
from mmseg_g4seg.ops.palettes import voc_palette
from mmseg_g4seg.prediction import ClassList, Prediction

pytest.importorskip('mmseg')

from projects.experiments.generated import draw_sheet, measure_pairs

NAMES = ['sky', 'fish', 'tree']
SEEN = {0: torch.tensor([[0, 0, 1, 1]]), 1: torch.tensor([[1, 1, 1, 1]])}
MASKS = {0: [[0, 1, 1, 255]], 1: [[2, 1, 255, 255]]}
NAMED = {0: ['sky', 'fish'], 1: ['tree', 'fish']}

SCORES = [[0.5, 0.25, 0.5, 0.25], [0.25, 0.5, 0.25, 0.5], [0.25, 0.25, 0.25, 0.25]]
"""The first two run against each other; the third is flat, and correlates with nothing."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES) + '\n')
    lines = []
    for i, mask in MASKS.items():
        files = {kind: f'{kind}/{i}.png' for kind in ('images', 'labels')}
        for kind, content in (('images', np.zeros((1, 4, 3), np.uint8)), ('labels', np.array(mask, np.uint8))):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(content).save(tmp_path / files[kind])
        scores = Prediction(torch.tensor(SCORES).view(3, 1, 4), torch.tensor([mask]))
        (tmp_path / 'scores').mkdir(exist_ok=True)
        files['scores'] = f'scores/{i}.npz'
        (tmp_path / files['scores']).write_bytes(build_format('npz', ClassList(NAMES)).encode(scores))
        lines.append(json.dumps(dict(files, name=f'{i}', prompt='a photo', classes=NAMED[i])))
    (tmp_path / 'manifest.jsonl').write_text('\n'.join(lines) + '\n')
    return tmp_path


def label(path):
    return SEEN[int(path.stem)]


def test_figures(folder):
    found = measure_pairs(folder, label)
    # sure pixels, mask and seen: (0, 0) (1, 0) (1, 1) and (2, 1) (1, 1)
    assert found['IoU'] == {'sky': 50.0, 'fish': 50.0, 'tree': 0.0}
    assert found['mIoU'] == pytest.approx(100 / 3)
    # the first picture twice: 50 and 50; the second: fish alone is seen, and found whole
    assert found['interval'] == pytest.approx((100 / 3, 50), abs=17)
    assert found['labelled'] == pytest.approx(100 * 5 / 8)
    # sky and fish are there; in the second picture fish alone, not tree
    assert found['shown'] == pytest.approx(75)
    assert found['shown_by_chance'] == 0
    assert found['alike'] == pytest.approx(-1)
    assert measure_pairs(folder, label, 1)['pictures'] == 1


def test_background_is_not_found_by_chance(folder):
    """No prompt names it: the first picture shows it, and of the classes that it could name, tree alone is left."""
    for name in ('classes.txt', 'manifest.jsonl'):
        (folder / name).write_text((folder / name).read_text().replace('"sky", ', '').replace('sky', 'background'))
    found = measure_pairs(folder, label)
    assert found['shown'] == pytest.approx(200 / 3)
    assert found['shown_by_chance'] == 0


def test_sheet(folder):
    sheet = draw_sheet(folder, label, voc_palette(), 2)
    assert np.asarray(sheet).std() > 10
    assert sheet.height > 2 * 224
