"""Configs of CLIP-ES and CAM: the whole path on small random models, and that their parts fit."""

import inspect
import json
import re

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_g4seg.cli.test import main
from mmseg_g4seg.coarse import CLIPESSource, CoarseSource
from mmseg_g4seg.hosts.mmseg.source_segmentor import SourceSegmentor
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.images import read_image
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.dense_crf import PRESETS
from mmseg_g4seg.registry import check_config
from tests.clip_folder import write_clip_folder
from tests.conftest import ROOT
from tests.hosts.mmseg.synthetic_trees import pairs, write_tree

pytest.importorskip('open_clip')
pytest.importorskip('scipy')
CONFIGS = sorted(path for folder in ('clip_es', 'cam') for path in (ROOT / 'configs' / folder).glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_parts_fit(path):
    config = Config.fromfile(path)
    segmentor = config.model.get('segmentor', config.model)
    own = inspect.signature(SourceSegmentor).parameters
    check_config({name: value for name, value in segmentor.items() if name not in own}, 'source', CoarseSource)
    assert segmentor.image_classes == 'label'
    dataset = config.test_dataloader.dataset
    # seeds are of training images, whose classes are known
    assert 'train' in dataset.get('ann_file', '') or dataset.data_prefix.img_path.endswith('train2017')
    names = DATASETS.get(dataset.type).METAINFO['classes']
    assert not set(names) & set(segmentor.get('background_words', ()))
    assert len(names) == segmentor.num_classes
    assert list(segmentor.get('names', names[1:])) == list(names[1:])
    assert [step.type for step in dataset.pipeline][0::2] == ['LoadImageFromFile', 'PackSegInputs']
    if config.model.type == 'RefinedSegmentor':
        check_config(config.model.refiner, 'refiner', Refiner)
        parts = config.model.refiner.get('refiners', [config.model.refiner])
        assert parts[0].get('update', {}).get('beta', 0.9) == 0.9, 'the beta of weak labels'
        potentials = [PRESETS[part.preset] for part in parts if part.type == 'DenseCRFRefiner']
        assert set(potentials) <= {PRESETS['irn' if segmentor.type == 'CAMSource' else 'clip_es']}


@pytest.mark.parametrize('folder', ['clip_es', 'cam'])
def test_the_readme_writes_a_class_file(folder, tmp_path, monkeypatch):
    """Not from standard output: on import mmcv prints there, and its lines would be classes."""
    readme = (ROOT / f'configs/{folder}/README.md').read_text()
    (code,) = re.findall(r'^python -c "(.*)"$', readme, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert tuple(read_classes('voc.txt')) == tuple(DATASETS.get('PascalVOCDataset').METAINFO['classes'])


def test_the_whole_path(tmp_path, monkeypatch):
    """A table of three stages; the coarse masks are those that an array gets, of the classes of its label alone."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    pytest.importorskip('pydensecrf')
    clip = f'local-dir:{write_clip_folder(tmp_path)}'
    write_tree('voc12', tmp_path / 'data', images=2)
    options = {
        'test_dataloader.dataset.data_root': tmp_path / 'data',
        'test_dataloader.num_workers': 0,
        'test_dataloader.persistent_workers': False,
        'log_level': 'WARNING',
        'model.segmentor.model': clip,
        'model.refiner.refiners.0.prior': 'tiny',
        'model.refiner.refiners.0.image_size': 64,
        'model.refiner.refiners.0.update.features': None,
        'model.refiner.refiners.0.update.confidence_range': '(0.0,1.0)',
    }
    config = ROOT / 'configs/clip_es/clip-es_vit-b16_voc21-train_g4seg-crf.py'
    out = ['--out', str(tmp_path / 'out'), '--work-dir', str(tmp_path / 'work')]
    assert main([str(config), *out, '--cfg-options', *(f'{key}={value}' for key, value in options.items())]) == 0
    report = json.loads((tmp_path / 'work/metrics.json').read_text())
    assert report['coarse']['mIoU'] != report['refined']['mIoU']
    source = CLIPESSource.from_config(clip)
    names = ClassList(DATASETS.get('PascalVOCDataset').METAINFO['classes'])
    images = [(image, label) for image, label in pairs('voc12', tmp_path / 'data') if '2010_000' in image.stem]
    assert len(images) == 2
    for image, label in images:
        shown = sorted(set(np.unique(np.array(Image.open(label))).tolist()) - {0, 255})
        mask = source.predict_present(read_image(image), names, shown).label_map.numpy()
        assert len(np.unique(mask)) > 1, 'a mask that says something'
        assert np.array_equal(mask, np.array(Image.open(tmp_path / 'out/coarse' / f'{image.stem}.png')))
