"""The demo on two scenes: the real path with the embedded weights."""

import contextlib
import io
import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_g4seg.diffusion.loading import load_prior
from projects.demo.run import CHECKPOINT, run_demo
from tests.conftest import ROOT

CONFIG = ROOT / 'projects/demo/configs/segformer-tiny_g4seg-tiny_scenes-128x128.py'


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp('demo')
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter('always')
        report = run_demo(CONFIG, folder / 'out', data=folder / 'scenes', images=2)
    said.write(''.join(str(one.message) for one in warned if one.category is UserWarning))
    return folder / 'out', report, said.getvalue()


def test_says_what_is_the_users_alone(demo):
    folder, _, said = demo
    assert 'Config:' in next(folder.rglob('*.log')).read_text(), 'which the log file keeps'
    for noise in ('Config:', 'Hooks will', 'prefix is not set', 'avg_non_ignore', 'draw is False', 'Could not import'):
        assert noise not in said


def test_what_it_leaves(demo):
    folder, report, _ = demo
    assert json.loads((folder / 'metrics.json').read_text()) == report
    for stage in ('coarse', 'refined'):
        assert 0 < report[stage]['mIoU'] <= 100
        assert {'mIoU', 'mAcc', 'aAcc', 'classes'} <= report[stage].keys()
    assert 'hot air balloon' in (folder / 'table.txt').read_text()
    gallery = np.asarray(Image.open(folder / 'gallery.png'))
    assert gallery.shape[1] > 5 * 200
    assert gallery.std() > 30
    page = (folder / 'report.html').read_text()
    assert f'{report["refined"]["mIoU"]:.2f}' in page
    assert 'likelihood' in page.lower(), 'the config of the refiner is in it'


def test_refinement_helps(demo):
    _, report, _ = demo
    assert report['refined']['mIoU'] > report['coarse']['mIoU']
    assert report['images_better'] > report['images_worse']


def test_embedded_weights_are_small_and_sound():
    size = sum(f.stat().st_size for f in (ROOT / 'mmseg_g4seg/assets').rglob('*') if f.is_file())
    assert size < 20e6
    prior = load_prior('tiny')
    assert prior.image_multiple == 16
    weights = torch.load(CHECKPOINT, weights_only=True)
    assert len(weights['meta']['dataset_meta']['classes']) == 14
