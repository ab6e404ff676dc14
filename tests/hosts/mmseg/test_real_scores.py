"""Scores of a real network on real photographs; skipped where the data is absent."""

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_g4seg.hosts.mmseg.launch.config import add_refiner
from tests.conftest import ROOT

FOLDERS = (ROOT / 'data/camvid', ROOT.parent / 'shared/data/camvid')
CAMVID = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])


def coarse_config(split, folder) -> Config:
    """A shipped config of these scores, without its refiner."""
    config = Config.fromfile(ROOT / f'configs/saved_scores/espnetv2_g4seg_camvid-{split}.py')
    config.model.refiner = None
    config.work_dir, config.log_level = str(folder), 'WARNING'
    config.model.segmentor.scores_dir = str(CAMVID / 'coarse/espnetv2_s2.0_cityscapes' / split)
    config.test_dataloader.dataset.data_root = str(CAMVID)
    return config


@pytest.mark.skipif(not CAMVID.is_dir(), reason='needs data/camvid')
@pytest.mark.parametrize(('split', 'published'), [('day', 48.2), ('dusk', 42.3)])
def test_coarse_miou_is_the_published_one(split, published, tmp_path):
    """The saved scores, through mmseg's loop, give the mIoU that their source states."""
    metrics = Runner.from_cfg(coarse_config(split, tmp_path)).test()
    assert metrics['mIoU'] == pytest.approx(published, abs=0.1)


@pytest.mark.skipif(not CAMVID.is_dir(), reason='needs data/camvid')
def test_the_nightcity_config_with_its_paths_changed(tmp_path):
    """The command of docs/results.md: coarse figures of the scores' own config, refined ones beside."""
    config = Config.fromfile(ROOT / 'configs/dtp/dtp_nightcity-fine_g4seg.py')
    add_refiner(config, ROOT / 'configs/_base_/refiners/g4seg_tiny.py')
    dataset = config.test_dataloader.dataset
    dataset.update(data_root=str(CAMVID), img_suffix='.webp', seg_map_suffix='.png', indices=2)
    dataset.data_prefix = dict(img_path='images/dusk', seg_map_path='labels/dusk')
    config.model.segmentor.scores_dir = str(CAMVID / 'coarse/espnetv2_s2.0_cityscapes/dusk')
    config.test_evaluator.update(mean_classes='labelled', report_dir=str(tmp_path))
    config.work_dir, config.log_level = str(tmp_path), 'WARNING'
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    metrics = Runner.from_cfg(config).test()
    assert 20 < metrics['coarse_mIoU'] < 60
    assert metrics['mIoU'] != metrics['coarse_mIoU']
    rows = (tmp_path / 'images.csv').read_text().splitlines()
    assert len(rows) == 3
    alone = coarse_config('dusk', tmp_path)
    alone.test_dataloader.dataset.indices = 2
    assert Runner.from_cfg(alone).test()['mIoU'] == metrics['coarse_mIoU']
