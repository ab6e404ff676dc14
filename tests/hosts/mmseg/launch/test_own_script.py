"""mmseg's own `tools/test.py` on a config with the edit, and configs with parts for training in ours."""

import json
from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from tests.hosts.mmseg.conftest import plain_config
from tests.scripts import run_script

EDIT = """
_base_ = __import__('mmseg_g4seg') and ['./plain.py', 'mmseg_g4seg::_base_/refiners/g4seg_tiny.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
model['refiner'].update(prior='{prior}', image_size=32)
test_evaluator = dict(_delete_=True, type='RefinementMetric', iou_metrics=['mIoU'])
"""


@pytest.mark.skipif(
    not (Path(mmseg.__file__).parent / '.mim/tools/test.py').is_file(), reason="mmseg's own script is not installed"
)
def test_it_reads_a_base_of_this_package_and_leaves_metrics(data_root, checkpoint, prior_folder, tmp_path):
    plain_config(data_root, tmp_path).dump(tmp_path / 'plain.py')
    (tmp_path / 'edit.py').write_text(EDIT.format(prior=prior_folder))
    script = Path(mmseg.__file__).parent / '.mim/tools/test.py'
    result = run_script(script, tmp_path / 'edit.py', checkpoint, '--work-dir', tmp_path / 'w')
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / 'w/metrics.json').read_text())
    assert report['refined'].keys() == report['coarse'].keys()
    assert {path.name for path in (tmp_path / 'w').iterdir()} >= {'classes.csv', 'images.csv', 'table.txt'}


def test_pictures_of_a_config_that_was_trained_with(data_root, checkpoint, prior_folder, tmp_path):
    """The training images are elsewhere, and the hook is left at mmseg's interval of 50 images."""
    config = plain_config(data_root, tmp_path)
    config.train_dataloader = dict(config.test_dataloader, batch_size=2)
    config.train_dataloader['dataset'] = dict(
        config.test_dataloader.dataset, data_prefix=dict(img_path='images/training', seg_map_path='labels/training')
    )
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
    config.optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
    config.param_scheduler = [dict(type='PolyLR', end=1, by_epoch=False)]
    config.dump(tmp_path / 'trained.py')
    Config(dict(refiner=dict(type='G4SegRefiner', prior=str(prior_folder), image_size=32))).dump(tmp_path / 'r.py')
    result = run_script(
        'tools/test.py', tmp_path / 'trained.py', checkpoint, '--refiner', tmp_path / 'r.py',
        '--work-dir', tmp_path / 'w', '--show-dir', tmp_path / 'painted',
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / 'painted').rglob('*.png'))) == 3
