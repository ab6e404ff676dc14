"""tools/test.py and the config edit, as a user types them."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.evaluation import IoUMetric
from mmseg.models import SegTTAModel
from mmseg.visualization import SegLocalVisualizer
from PIL import Image

from mmseg_g4seg.hosts.mmseg import RefinedSegmentor
from mmseg_g4seg.hosts.mmseg.launch.config import (
    Drawing,
    add_refiner,
    compare_stages,
    save_for_fiftyone,
    save_predictions,
    set_score_type,
    use_tta,
)
from mmseg_g4seg.hosts.mmseg.launch.run import prepare
from tests.conftest import ROOT
from tests.hosts.mmseg.conftest import SIZES, plain_config
from tests.scripts import run_script


@pytest.fixture
def config_file(data_root, tmp_path, refiner_config):
    plain_config(data_root, tmp_path).dump(tmp_path / 'plain.py')
    update = dict(type='CorrespondenceUpdate')
    Config(dict(refiner={**refiner_config, 'update': update})).dump(tmp_path / 'refiner.py')
    return tmp_path / 'plain.py'


def test_flags(config_file, checkpoint, tmp_path):
    """--refiner --work-dir --out --show-dir --cfg-options --tta in one run."""
    result = run_script(
        'tools/test.py', config_file, checkpoint, '--refiner', tmp_path / 'refiner.py', '--work-dir', tmp_path / 'w',
        '--out', tmp_path / 'out', '--show-dir', tmp_path / 'painted', '--tta', '--cfg-options',
        'model.refiner.update.beta=0.5', f'test_evaluator.report_dir={tmp_path / "report"}', 'log_level=INFO',
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-6000:]
    output = result.stdout + result.stderr
    assert 'refined IoU' in output
    assert 'Loading weights' not in output, 'bars of loading'
    label_maps = [
        {p.name: np.asarray(Image.open(p)) for p in (tmp_path / f).glob('*.png')} for f in ('out', 'out/coarse')
    ]
    for stage in label_maps:
        assert {name: labels.shape for name, labels in stage.items()} == {f'{i}.png': SIZES[i] for i in range(3)}
    assert any((label_maps[0][name] != label_maps[1][name]).any() for name in label_maps[0])
    assert len(list((tmp_path / 'painted').rglob('*.png'))) == 3
    report = json.loads((tmp_path / 'report' / 'metrics.json').read_text())
    logged = json.loads(next((tmp_path / 'w').glob('*/*.json')).read_text())
    assert logged['mIoU'] == pytest.approx(report['refined']['mIoU'])
    assert logged['coarse_mIoU'] == pytest.approx(report['coarse']['mIoU'])


def test_the_config_edit(config_file, checkpoint, tmp_path):
    edit = """
_base_ = ['./plain.py', './refiner.py']
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
test_evaluator = dict(type='RefinementMetric')
"""
    (tmp_path / 'refined.py').write_text(edit)
    result = run_script('tools/test.py', tmp_path / 'refined.py', checkpoint, '--work-dir', tmp_path / 'w')
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / 'w/metrics.json').read_text())
    assert report['refined']['mIoU'] != report['coarse']['mIoU']


@pytest.mark.parametrize(
    'base', ['mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', 'mmseg::_base_/default_runtime.py']
)
def test_mmseg_base_configs_resolve(tmp_path, base):
    (tmp_path / 'c.py').write_text(f"_base_ = ['{base}']")
    assert Config.fromfile(tmp_path / 'c.py').default_scope == 'mmseg'


def test_the_readmes_edit_over_a_config_of_mmseg(tmp_path):
    (tmp_path / 'c.py').write_text(
        f"""
_base_ = [
    'mmseg::segformer/segformer_mit-b1_8xb2-160k_ade20k-512x512.py',
    '{ROOT}/configs/_base_/refiners/g4seg_sd21.py',
]
custom_imports = dict(imports=['mmseg_g4seg'], allow_failed_imports=False)
model = dict(_delete_=True, type='RefinedSegmentor', segmentor=_base_.model, refiner=_base_.refiner)
test_evaluator = dict(type='RefinementMetric')
"""
    )
    config = Config.fromfile(tmp_path / 'c.py')
    assert config.model.segmentor.decode_head.num_classes == 150
    assert config.model.refiner.type == 'G4SegRefiner'
    assert config.test_evaluator.iou_metrics == ['mIoU']


def test_prepare(config_file, tmp_path):
    """All of the edits together, each in its place; options reach into the refiner that was put behind the model."""
    config = Config.fromfile(config_file)
    prepare(
        config,
        refiner=tmp_path / 'refiner.py',
        score_type='softmax',
        options={'model.refiner.update.beta': 0.5, 'log_level': 'ERROR'},
        work_dir='w',
        checkpoint='c.pth',
        label_maps='maps',
        drawing=Drawing(folder='painted'),
        tta=True,
    )
    model = config.model.module
    assert (config.model.type, model.type, model.segmentor.type) == (
        'RefinedSegTTAModel',
        'RefinedSegmentor',
        'EncoderDecoder',
    )
    assert (model.score_type, model.refiner['update']['beta']) == ('softmax', 0.5)
    metric = config.test_evaluator
    assert (metric.type, metric.output_dir, metric.report_dir) == ('RefinementMetric', 'maps', 'w')
    assert (config.visualizer.type, config.visualizer.save_dir) == ('RefinedSegVisualizer', 'painted')
    assert (config.work_dir, config.load_from, config.launcher, config.log_level) == ('w', 'c.pth', 'none', 'ERROR')
    (loading,) = config.test_dataloader.dataset.pipeline[1].transforms[2]
    assert (loading.type, loading.num_classes) == ('LoadCheckedAnnotations', 5)


@pytest.mark.parametrize('named', [lambda cls: cls, lambda cls: f'mmseg.{cls.__name__}'], ids=['class', 'scope'])
def test_types_that_are_no_bare_names(data_root, tmp_path, named):
    """Those of mmengine's pure Python configs: their runs had no coarse figures, and each view was refined alone."""
    config = plain_config(data_root, tmp_path)
    config.test_evaluator.type, config.tta_model.type = named(IoUMetric), named(SegTTAModel)
    config.visualizer.type = named(SegLocalVisualizer)
    config.tta_pipeline[1].transforms[2][0].type = named(LoadAnnotations)
    prepare(config, refiner='mmseg_g4seg::_base_/refiners/pamr.py', drawing=Drawing(), tta=True)
    assert (config.test_evaluator.type, config.test_evaluator.report_dir) == ('RefinementMetric', str(tmp_path))
    assert (config.model.type, config.visualizer.type) == ('RefinedSegTTAModel', 'RefinedSegVisualizer')
    assert config.test_dataloader.dataset.pipeline[1].transforms[2][0].type == 'LoadCheckedAnnotations'
    # a model that refines already gets the new refiner, and no second wrapper
    config.model = dict(type=named(RefinedSegmentor), segmentor=dict(type='EncoderDecoder'))
    add_refiner(config, 'mmseg_g4seg::_base_/refiners/pamr.py')
    assert config.model.segmentor.type == 'EncoderDecoder'


class TestEdits:
    def config(self):
        return Config(
            dict(
                model=dict(type='EncoderDecoder'),
                test_evaluator=[dict(type='IoUMetric'), dict(type='CityscapesMetric')],
                val_evaluator=dict(type='IoUMetric'),
                test_dataloader=dict(dataset=dict(pipeline=[])),
                tta_pipeline=['augmented'],
                default_hooks=dict(),
            )
        )

    def refiner_file(self, tmp_path, text="refiner = dict(type='X')"):
        (tmp_path / 'r.py').write_text(text)
        return tmp_path / 'r.py'

    def test_refiner_over_a_plain_and_a_refined_model(self, tmp_path):
        config = self.config()
        for kind in ('X', 'Y'):
            add_refiner(config, self.refiner_file(tmp_path, f"refiner = dict(type='{kind}')"))
            set_score_type(config, 'sum')
            assert config.model.refiner.type == kind
            assert config.model.segmentor.type == 'EncoderDecoder'
            assert config.model.score_type == 'sum'

    def test_file_without_refiner(self, tmp_path):
        with pytest.raises(ValueError, match='refiner = dict'):
            add_refiner(self.config(), self.refiner_file(tmp_path, 'x = 1'))

    def test_metrics_change_only_behind_a_refiner(self, tmp_path):
        config = self.config()
        compare_stages(config)
        assert config.val_evaluator.type == 'IoUMetric'
        add_refiner(config, self.refiner_file(tmp_path))
        compare_stages(config)
        assert [m.type for m in config.test_evaluator] == ['RefinementMetric', 'CityscapesMetric']
        assert config.val_evaluator.type == 'RefinementMetric'

    def test_output_with_a_list_of_metrics(self):
        config = self.config()
        save_predictions(config, 'folder')
        assert config.test_evaluator[0].output_dir == 'folder'

    def test_tta(self, tmp_path):
        config = self.config()
        add_refiner(config, self.refiner_file(tmp_path))
        use_tta(config)
        assert config.model.type == 'RefinedSegTTAModel'
        assert config.model.module.type == 'RefinedSegmentor'
        assert config.test_dataloader.dataset.pipeline == ['augmented']
        plain = self.config()
        use_tta(plain)
        assert plain.model.type == 'SegTTAModel'

    def test_what_is_missing_is_named(self):
        config = self.config()
        config.pop('tta_pipeline')
        with pytest.raises(ValueError, match='tta_pipeline'):
            use_tta(config)


def test_fiftyone_is_the_refinement_metrics():
    config = Config(dict(test_evaluator=[dict(type='IoUMetric'), dict(type='RefinementMetric')]))
    save_for_fiftyone(config, 'masks')
    assert [metric.get('fiftyone_dir') for metric in config.test_evaluator] == [None, 'masks']
    with pytest.raises(ValueError, match=r"--fiftyone: expected test_evaluator=dict\(type='RefinementMetric'\)"):
        save_for_fiftyone(Config(dict(test_evaluator=dict(type='IoUMetric'))), 'masks')
