"""Configs of SCLIP, MaskCLIP and GroupViT: the whole path of one, and that all others build; H W image size."""

import json

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_g4seg import load_source
from mmseg_g4seg.cli.test import main
from mmseg_g4seg.io.class_files import read_synonyms
from mmseg_g4seg.prediction import ClassList
from tests.clip_folder import write_clip_folder
from tests.conftest import ROOT
from tests.hosts.mmseg.synthetic_trees import pairs, write_tree

pytest.importorskip('open_clip')
FOLDERS = ('sclip', 'maskclip', 'groupvit')
PLAIN = [p for folder in FOLDERS for p in sorted((ROOT / 'configs' / folder).glob('*.py')) if p.stem.count('_') == 2]
SMALL = dict(image_scale=(96, 32), window=(32, 16), background_score=0.0, area_threshold=0.1, templates=['{name}'])
"""A random CLIP is sure of nothing: a background of 0.1 would be all that there is."""


@pytest.fixture(scope='module')
def clip_folder(tmp_path_factory):
    return write_clip_folder(tmp_path_factory.mktemp('clip'))


def test_the_whole_path_and_the_same_as_arrays(clip_folder, tmp_path, monkeypatch):
    """A table of before and after; the coarse masks are those that an array gets, whatever the size of the batch."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    write_tree('voc12', tmp_path / 'data', images=3)
    source = {**SMALL, 'model': f'local-dir:{clip_folder}'}
    options = {
        'test_dataloader.dataset.data_root': tmp_path / 'data',
        'test_dataloader.batch_size': 2,
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'log_level': 'WARNING',
        'model.refiner.prior': 'tiny',
        'model.refiner.image_size': 64,
        'model.refiner.update.features': None,
        'model.refiner.update.confidence_range': (0.0, 1.0),
        **{f'model.segmentor.{name}': value for name, value in source.items()},
    }
    given = [f'{name}={value}'.replace(' ', '') for name, value in options.items()]
    config = ROOT / 'configs/sclip/sclip_vit-b16_voc21_g4seg.py'
    out = ['--out', str(tmp_path / 'out'), '--work-dir', str(tmp_path / 'work')]
    assert main([str(config), *out, '--cfg-options', *given]) == 0
    report = json.loads((tmp_path / 'work/metrics.json').read_text())
    assert report['coarse']['classes'] != report['refined']['classes']
    names = ClassList(read_synonyms('mmseg_g4seg::_base_/classes/voc21.txt'), background=0)
    arrays = load_source('sclip', **source, logit_scale=65.0)
    images = [image for image, _ in pairs('voc12', tmp_path / 'data') if image.stem.startswith('2010_001')]
    assert len(images) == 3
    for image in images:
        # read as mmseg reads it: decoders of JPEG differ by a grey level
        mask = arrays(mmcv.imread(image, channel_order='rgb'), names)
        assert len(np.unique(mask)) > 1, 'a mask that says something'
        assert np.array_equal(mask, np.array(Image.open(tmp_path / 'out/coarse' / f'{image.stem}.png')))


@pytest.mark.parametrize('path', PLAIN, ids=lambda p: p.stem)
def test_builds(path, clip_folder, monkeypatch):
    config = Config.fromfile(path)
    is_clip = path.parent.name != 'groupvit'
    if is_clip:
        config.model.model = f'local-dir:{clip_folder}'
        built = MODELS.build(config.model)
        assert built.source.method.name == path.parent.name
    dataset = DATASETS.get(config.test_dataloader.dataset.type)
    assert len(dataset.METAINFO['classes']) == config.model.num_classes
    if words := config.model.get('class_names'):
        assert len(read_synonyms(words)) == config.model.num_classes
    assert {'val_cfg', 'test_cfg'} <= set(config), 'a loader of validation needs its loop'
    steps = [step.type for step in config.test_dataloader.dataset.pipeline]
    assert len(steps) == 3
    assert 'Resize' not in steps
