"""Detectron2's own scripts, unmodified, with a refiner behind their model; on a CPU."""

import json
import runpy
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

pytest.importorskip('detectron2', reason='Detectron2 is not installed: requirements/detectron2.sh')

from detectron2.engine import DefaultTrainer, launch
from detectron2.evaluation import SemSegEvaluator

from mmseg_g4seg.cli.detectron2_test import main
from mmseg_g4seg.hosts.detectron2 import RefinedModel, add_g4seg_config
from mmseg_g4seg.hosts.detectron2.launch import Refinement, refined_trainer, run_script
from tests.conftest import ROOT

from .toy import NAME, PAMR, TINY, arguments, readable_labels, upstream_script

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
dataloader.evaluator = L(SemSegEvaluator)(dataset_name='${{..test.dataset.names}}')
"""


def guides_edit(**texts):
    """The three statements of docs/guides/detectron2.md, with each text of theirs in place of the guide's own."""
    guide = (ROOT / 'docs/guides/detectron2.md').read_text()
    (edit,) = [block for block in guide.split('```python\n') if 'dataloader.evaluator = measured' in block]
    edit = edit.split('```')[0]
    for old, new in texts.items():
        assert f"'{old}'" in edit
        edit = edit.replace(f"'{old}'", repr(new))
    return edit


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
def out(tmp_path):
    """The folder that a run writes into."""
    return tmp_path / 'out'


@pytest.fixture(autouse=True)
def imported_anew(monkeypatch):
    """Scripts are found by their own folder, and imported anew: nothing of one run is left for the next."""
    monkeypatch.setattr(sys, 'path', [*sys.path])
    yield
    sys.modules.pop('train_net', None)


def run_train_net(config_file, refiner, out):
    # a fork has none of the threads that its parent's torch counts on, and would wait for them without end
    torch.set_num_threads(1)
    args = arguments(config_file)
    args.opts = ['OUTPUT_DIR', str(out)]
    results = run_script(upstream_script('train_net.py'), args, Refinement(str(refiner)))
    # left open, it aborts a process of a few: "terminate called without an active exception"
    assert not torch.distributed.is_initialized()
    return results


@pytest.fixture(scope='module')
def one_process(config_file, refiner, tmp_path_factory):
    """The folder that the command has written, over Detectron2's own train_net.py, in one process."""
    out = tmp_path_factory.mktemp('one')
    with readable_labels():
        code = main(
            [
                str(upstream_script('train_net.py')), '--config-file', str(config_file), '--refiner', str(refiner),
                'OUTPUT_DIR', str(out),
            ]
        )  # fmt: skip
    assert code == 0
    return out


class TestTrainNet:
    def test_coarse_figures_are_those_of_the_plain_script(self, config_file, one_process, tmp_path):
        script = runpy.run_path(str(upstream_script('train_net.py')))
        args = arguments(config_file)
        args.opts = ['OUTPUT_DIR', str(tmp_path)]
        plain = script['main'](args)['sem_seg']
        coarse, refined = (
            torch.load(one_process / 'inference' / folder / 'sem_seg_evaluation.pth', weights_only=False)
            for folder in ('coarse', '.')
        )
        assert coarse == plain
        assert refined != plain
        ours = json.loads((one_process / 'inference/refinement/sem_seg/metrics.json').read_text())
        assert ours['coarse']['mIoU'] == round(plain['mIoU'], 2)
        assert ours['refined']['mIoU'] == round(refined['mIoU'], 2)

    def test_both_tables_are_printed_and_written(self, one_process):
        said = (one_process / 'log.txt').read_text()
        table = (one_process / 'inference/refinement/sem_seg/table.txt').read_text()
        assert '| mean' in table
        assert table.strip() in said
        assert 'copypaste: Task: coarse_sem_seg' in said

    def test_two_processes_have_the_figures_of_one(self, config_file, refiner, one_process, out, monkeypatch):
        # forked, since what they import takes seconds, and the data set is registered in this process
        forking = partial(torch.multiprocessing.start_processes, start_method='fork')
        monkeypatch.setattr('torch.multiprocessing.start_processes', forking)
        launch(run_train_net, 2, dist_url='auto', args=(config_file, refiner, out))
        folders = [folder / 'inference/refinement/sem_seg' for folder in (one_process, out)]
        for name in ('classes.csv', 'images.csv'):
            files = [(folder / name).read_text() for folder in folders]
            assert files[0] == files[1]
        gains = [json.loads((folder / 'metrics.json').read_text())['gain'] for folder in folders]
        assert gains[0] == gains[1]


class MirroredViews(torch.nn.Module):
    """Averages an image and its mirror image, as a project's own test-time augmentation does."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, items):
        mirrored = [{**item, 'image': item['image'].flip(2)} for item in items]
        pairs = zip(self.model(items), self.model(mirrored), strict=True)
        return [dict(sem_seg=(a['sem_seg'] + b['sem_seg'].flip(2)) / 2) for a, b in pairs]


class Trainer(DefaultTrainer):
    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_folder=None):
        return SemSegEvaluator(dataset_name, output_dir=output_folder or cfg.OUTPUT_DIR)

    @classmethod
    def test_with_TTA(cls, cfg, model):
        assert not isinstance(model, RefinedModel)
        return cls.test(cfg, MirroredViews(model), [cls.build_evaluator(cfg, NAME, f'{cfg.OUTPUT_DIR}/views')])


class TestRefinedTrainer:
    def test_views_are_refined_once_merged(self, scenes):
        cfg = scenes.clone()
        cfg.OUTPUT_DIR = str(Path(scenes.OUTPUT_DIR) / 'tta')
        trainer = refined_trainer(Trainer, Refinement(PAMR))
        model = trainer.build_model(cfg)
        calls = []
        model.refiner.refine_batch, refine = (
            lambda *a, **k: calls.append(1) or refine(*a, **k),
            model.refiner.refine_batch,
        )
        results = trainer.test_with_TTA(cfg, model)
        assert len(calls) == 3
        plain = Trainer.test(cfg, MirroredViews(model.model), [SemSegEvaluator(NAME)])
        assert results['coarse_sem_seg'] == plain['sem_seg']
        # the next test is of the refined model again
        assert 'coarse_sem_seg' in trainer.test(cfg, model)
        assert len(calls) == 6

    def test_evaluators_that_know_no_folder_write_apart(self, scenes):
        class Simple(DefaultTrainer):
            @classmethod
            def build_evaluator(cls, cfg, dataset_name):
                return SemSegEvaluator(dataset_name, output_dir=cfg.OUTPUT_DIR)

        found = refined_trainer(Simple, Refinement(PAMR)).build_evaluator(scenes, NAME)
        _, before, after = found._evaluators
        assert after._output_dir == f'{scenes.OUTPUT_DIR}/inference'
        assert before.evaluator._output_dir == f'{scenes.OUTPUT_DIR}/inference/coarse'

    def test_a_config_that_refines_already_is_refined_once(self, scenes):
        cfg = scenes.clone()
        add_g4seg_config(cfg)
        cfg.MODEL.merge_from_list(
            ['META_ARCHITECTURE', 'RefinedModel', 'G4SEG.META_ARCHITECTURE', 'SemanticSegmentor', 'G4SEG.REFINER', PAMR]
        )
        model = refined_trainer(Trainer, Refinement(PAMR)).build_model(cfg)
        assert isinstance(model, RefinedModel)
        assert not isinstance(model.model, RefinedModel)


def test_a_lazy_config(scenes, config_file, refiner, out, one_process, monkeypatch, capsys):
    lazy = out.with_name('lazy.py')
    fields = dict(config_file=str(config_file), out=str(out), weights=scenes.MODEL.WEIGHTS, name=NAME)
    edit = guides_edit(ade20k_sem_seg_val=NAME, RGB='BGR', out=str(out))
    wrapped = 'from mmseg_g4seg.hosts.detectron2 import BeforeRefinement\n'
    wrapped += 'dataloader.evaluator.append(L(BeforeRefinement)(evaluator=dataloader.evaluator[-1]))\n'
    lazy.write_text(LAZY.format(**fields) + edit + wrapped)
    options = [f'model.refiner={refiner}', 'model.score_type=logits']
    monkeypatch.setattr(sys, 'argv', ['script', '--eval-only', '--config-file', str(lazy), *options])
    runpy.run_path(str(upstream_script('lazyconfig_train_net.py')), run_name='__main__')
    files = [folder / 'sem_seg/classes.csv' for folder in (one_process / 'inference/refinement', out)]
    assert files[0].read_text() == files[1].read_text()
    said = capsys.readouterr().out
    assert all(f'Task: {task}' in said for task in ('refinement', 'sem_seg', 'coarse_sem_seg'))


class TestErrors:
    def test_no_script(self, config_file, refiner, out):
        with pytest.raises(FileNotFoundError, match=r'script: no such file: .*nowhere\.py'):
            run_script(Path('nowhere.py'), arguments(config_file), Refinement(str(refiner)))

    def test_a_script_without_a_trainer(self, config_file, refiner):
        with pytest.raises(ValueError, match=r'expected main\(args\) and a class Trainer.*LazyConfig'):
            run_script(upstream_script('lazyconfig_train_net.py'), arguments(config_file), Refinement(str(refiner)))

    def test_no_refiner_of_that_name(self, config_file, out):
        with pytest.raises(FileNotFoundError, match=r'MODEL\.G4SEG\.REFINER .*nowhere\.py'):
            run_train_net(config_file, 'nowhere.py', out)

    def test_no_output_of_that_name(self, config_file, refiner):
        with pytest.raises(ValueError, match=r"OUTPUTS: expected some of .*, got \['semantic'\]"):
            run_script(upstream_script('train_net.py'), arguments(config_file), Refinement(PAMR, outputs=['semantic']))
