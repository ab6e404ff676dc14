"""Detectron2's own scripts, unmodified, with a refiner behind their model; on a CPU."""

import runpy
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

pytest.importorskip('detectron2', reason='Detectron2 is not installed: requirements/detectron2.sh')

from detectron2.engine import launch

from mmseg_g4seg.cli.detectron2_test import main
from mmseg_g4seg.hosts.detectron2.launch import Refinement, run_script

from .toy import NAME, TINY, arguments, upstream_script

LAZY = """
from detectron2.config import LazyCall as L
from detectron2.data import DatasetMapper, build_detection_test_loader, get_detection_dataset_dicts
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.evaluation import SemSegEvaluator
from detectron2.modeling import build_model

from detectron2.config import get_cfg
from omegaconf import OmegaConf


def plain_model(config_file):
    cfg = get_cfg()
    cfg.merge_from_file(config_file)
    return build_model(cfg)


model = L(plain_model)(config_file={config_file!r})
train = dict(output_dir={out!r}, init_checkpoint={weights!r}, device='cpu', seed=0)
dataloader = OmegaConf.create()
dataloader.test = L(build_detection_test_loader)(
    dataset=L(get_detection_dataset_dicts)(names={name!r}, filter_empty=False),
    mapper=L(DatasetMapper)(
        is_train=False,
        augmentations=[L(ResizeShortestEdge)(short_edge_length=40, max_size=80)],
        image_format='BGR',
    ),
    num_workers=0,
)
dataloader.evaluator = L(SemSegEvaluator)(dataset_name={name!r})
"""
EDIT = """
from mmseg_g4seg.hosts.detectron2 import RefinementEvaluator, refined
model = refined(
    model, refiner={refiner!r}, dataset={name!r}, input_format='BGR', score_type='logits'
)
dataloader.evaluator = [dataloader.evaluator, L(RefinementEvaluator)(dataset_name={name!r}, output_dir={out!r})]
"""


@pytest.fixture(scope='module')
def config_file(scenes):
    path = Path(scenes.OUTPUT_DIR).parent / 'fpn.yaml'
    path.write_text(scenes.dump())
    return path


@pytest.fixture(scope='module')
def refiner(config_file):
    path = config_file.with_name('refiner.py')
    path.write_text(f'refiner = {TINY!r}')
    return path


@pytest.fixture
def out(scenes, tmp_path, monkeypatch):
    """The folder that a run writes into."""
    return tmp_path / 'out'


@pytest.fixture(autouse=True)
def imported_anew(monkeypatch):
    """Scripts are found by their own folder, and imported anew: nothing of one run is left for the next."""
    monkeypatch.setattr(sys, 'path', [*sys.path])
    yield
    sys.modules.pop('train_net', None)


def run_train_net(config_file, refiner, out, **options):
    args = arguments(config_file)
    args.opts = ['OUTPUT_DIR', str(out)]
    return run_script(upstream_script('train_net.py'), args, Refinement(str(refiner), **options))


@pytest.fixture(scope='module')
def one_process(config_file, refiner, tmp_path_factory):
    """The results of Detectron2's train_net.py in one process, and the folder of its files."""
    out = tmp_path_factory.mktemp('one')
    with pytest.MonkeyPatch.context() as patch:
        from detectron2.evaluation import sem_seg_evaluation

        patch.setattr(sem_seg_evaluation.load_image_into_numpy_array, '__defaults__', (True, None))
        return run_train_net(config_file, refiner, out), out


def comparable(results):
    """All but seconds."""
    return {
        task: {name: value for name, value in figures.items() if not name.endswith('_seconds')}
        for task, figures in results.items()
    }


class TestTrainNet:
    def test_coarse_figures_are_those_of_the_plain_script(self, config_file, one_process, tmp_path):
        script = runpy.run_path(str(upstream_script('train_net.py')))
        args = arguments(config_file)
        args.opts = ['OUTPUT_DIR', str(tmp_path)]
        plain = script['main'](args)
        results, _ = one_process
        assert results['coarse_sem_seg'] == plain['sem_seg']
        assert results['sem_seg'] != plain['sem_seg']
        assert results['refinement']['coarse_mIoU'] == round(plain['sem_seg']['mIoU'], 2)
        assert results['refinement']['mIoU'] == round(results['sem_seg']['mIoU'], 2)

    def test_both_tables_are_printed_and_written(self, one_process):
        _, out = one_process
        said = (out / 'log.txt').read_text()
        table = (out / 'inference/refinement/sem_seg/table.txt').read_text()
        assert '| mean' in table
        assert table.strip() in said
        assert 'copypaste: Task: coarse_sem_seg' in said
        assert (out / 'inference/coarse/sem_seg_predictions.json').is_file()

    def test_two_processes_have_the_figures_of_one(self, config_file, refiner, one_process, out, monkeypatch):
        # forked, since what they import takes seconds, and the data set is registered in this process
        forking = partial(torch.multiprocessing.start_processes, start_method='fork')
        monkeypatch.setattr('torch.multiprocessing.start_processes', forking)
        results, first = one_process
        launch(run_train_net, 2, dist_url='auto', args=(config_file, refiner, out))
        for name in ('classes.csv', 'images.csv'):
            files = [folder / 'inference/refinement/sem_seg' / name for folder in (first, out)]
            assert files[0].read_text() == files[1].read_text()
        line = next(line for line in (out / 'log.txt').read_text().splitlines() if 'mIoU gain' in line)
        assert line in (first / 'inference/refinement/sem_seg/table.txt').read_text()

    def test_a_config_that_refines_already_is_refined_once(self, one_process, config_file, refiner, out):
        script = out.with_name('train_net.py')
        script.write_text(
            upstream_script('train_net.py')
            .read_text()
            .replace(
                'cfg = get_cfg()',
                'cfg = get_cfg()\n    from mmseg_g4seg.hosts.detectron2 import add_g4seg_config\n    add_g4seg_config(cfg)',
            )
        )
        args = arguments(config_file)
        args.opts = [
            'OUTPUT_DIR', str(out), 'MODEL.META_ARCHITECTURE', 'RefinedModel',
            'MODEL.G4SEG.META_ARCHITECTURE', 'SemanticSegmentor', 'MODEL.G4SEG.REFINER', 'tiny',
        ]  # fmt: skip
        results = run_script(script, args, Refinement(str(refiner)))
        assert comparable(results) == comparable(one_process[0])


def test_the_command(config_file, refiner, out, one_process):
    code = main(
        [
            str(upstream_script('train_net.py')), '--config-file', str(config_file), '--refiner', str(refiner),
            'OUTPUT_DIR', str(out),
        ]
    )  # fmt: skip
    assert code == 0
    files = [folder / 'inference/refinement/sem_seg/classes.csv' for folder in (one_process[1], out)]
    assert files[0].read_text() == files[1].read_text()


def test_a_lazy_config(scenes, config_file, refiner, out, one_process, monkeypatch, capsys):
    lazy = out.with_name('lazy.py')
    fields = dict(
        config_file=str(config_file), out=str(out), weights=scenes.MODEL.WEIGHTS, name=NAME, refiner=str(refiner)
    )
    lazy.write_text((LAZY + EDIT).format(**fields))
    monkeypatch.setattr(sys, 'argv', ['script', '--eval-only', '--config-file', str(lazy)])
    runpy.run_path(str(upstream_script('lazyconfig_train_net.py')), run_name='__main__')
    files = [folder / 'sem_seg/classes.csv' for folder in (one_process[1] / 'inference/refinement', out)]
    assert files[0].read_text() == files[1].read_text()
    assert 'refinement' in capsys.readouterr().out


class TestErrors:
    def test_no_script(self, config_file, refiner, out):
        with pytest.raises(FileNotFoundError, match='script: no such file: .*nowhere.py'):
            run_script(Path('nowhere.py'), arguments(config_file), Refinement(str(refiner)))

    def test_a_script_without_a_trainer(self, config_file, refiner):
        with pytest.raises(ValueError, match=r'expected main\(args\) and a class Trainer.*LazyConfig'):
            run_script(upstream_script('lazyconfig_train_net.py'), arguments(config_file), Refinement(str(refiner)))

    def test_no_refiner_of_that_name(self, config_file, out):
        with pytest.raises(FileNotFoundError, match='MODEL.G4SEG.REFINER .*nowhere.py'):
            run_train_net(config_file, 'nowhere.py', out)
