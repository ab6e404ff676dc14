"""Scores of a real network on real photographs; skipped where the data is absent."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

ROOT = Path(__file__).parents[2]
CAMVID = ROOT.parent / 'shared/data/camvid'


@pytest.mark.skipif(not CAMVID.is_dir(), reason='needs the CamVid folder beside the project')
@pytest.mark.parametrize(('split', 'published'), [('day', 48.2), ('dusk', 42.3)])
def test_coarse_miou_is_the_published_one(split, published, tmp_path):
    """The saved scores, through mmseg's loop, give the mIoU that their source states."""
    config = Config.fromfile(ROOT / f'configs/saved_scores/espnetv2_g4seg_camvid-{split}.py')
    config.model.refiner = None
    config.work_dir, config.log_level = str(tmp_path), 'WARNING'
    config.model.segmentor.scores_dir = str(CAMVID / 'coarse/espnetv2_s2.0_cityscapes' / split)
    config.test_dataloader.dataset.data_root = str(CAMVID)
    metrics = Runner.from_cfg(config).test()
    assert metrics['mIoU'] == pytest.approx(published, abs=0.1)
