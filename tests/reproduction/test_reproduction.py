import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmseg_g4seg  # noqa: F401
from mmseg_g4seg.reproduction.needs import refiner_needs
from mmseg_g4seg.reproduction.paper import TABLES, ConfigRun, Row, SeedRun, Table, find_table
from mmseg_g4seg.reproduction.runs import Places, plan_row, read_figures, run_plan
from mmseg_g4seg.reproduction.table import as_csv, as_markdown, describe, fill
from tests.mmseg.synthetic_trees import pairs, write_tree

ROOT = Path(__file__).parents[2]
ROWS = [row for table in TABLES.values() for row in table.rows]
LIGHT = {
    'test_dataloader.num_workers': 0,
    'test_dataloader.persistent_workers': False,
    'test_dataloader.dataset.pipeline.1.scale': (96, 64),
    'model.refiner.features': 'denoiser',
    'model.refiner.dtype': 'float32',
    'model.refiner.image_size': 64,
    'model.refiner.min_area': 0.05,
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Data and checkpoints are looked for below the working folder."""
    init_default_scope('mmseg')
    monkeypatch.chdir(tmp_path)


def places(tmp_path, **changes) -> Places:
    return Places(**{'root': ROOT, 'out': tmp_path / 'out', **changes})


class TestPaper:
    @pytest.mark.parametrize('row', ROWS, ids=lambda row: row.name)
    def test_a_row_has_a_run_or_says_what_is_lacking(self, row):
        assert (row.run is None) == bool(row.lacks)
        if isinstance(row.run, ConfigRun):
            assert (ROOT / 'configs' / row.run.config).is_file()

    def test_checkpoints_are_those_of_mmsegs_own_index(self):
        from importlib.resources import files

        index = ''.join(p.read_text() for p in (files('mmseg') / '.mim/configs').glob('*/metafile.yaml'))
        addresses = {row.run.address for row in ROWS if isinstance(row.run, ConfigRun) and row.run.weights}
        assert len(addresses) == 5
        if 'mmassets' in index:  # the upstream distribution names another host
            assert all(address in index for address in addresses)

    def test_tables_by_subject_and_number(self):
        assert find_table('XI') is find_table('xi') is TABLES['refiners']
        assert find_table('ablation') is find_table('III')
        with pytest.raises(ValueError, match=r"supervised, .*refiners \(XI\).*got 'IV'"):
            find_table('IV')

    def test_every_config_of_a_coarse_model_has_a_row(self):
        named = {row.run.config for row in ROWS if isinstance(row.run, ConfigRun)}
        there = {str(p.relative_to(ROOT / 'configs')) for p in (ROOT / 'configs').glob('*/*_g4seg*.py')}
        assert {c for c in there if not c.startswith(('saved_scores', 'scenes', '_base_'))} == named


class TestNeeds:
    def test_everything_missing_is_named_with_its_place(self, tmp_path):
        table = find_table('supervised')
        plans = [plan_row(row, places(tmp_path)) for row in table.rows]
        missing = {need.what: need for need in plans[2].missing}
        assert set(missing) == {'images', 'labels', 'checkpoint', 'prior', 'weights of CascadePSP'}
        assert missing['images'].where == 'data/ade/ADEChallengeData2016/images/validation'
        assert missing['checkpoint'].where.startswith('checkpoints/segformer_mit-b1_512x512_160k_ade20k_')
        assert 'https://' in missing['checkpoint'].how
        text = describe('supervised', table, plans)
        assert text.count('MISSING checkpoint') == 6
        assert 'data/ade/ADEChallengeData2016/annotations/validation' in text
        assert not (tmp_path / 'out').exists(), 'planning writes nothing'

    def test_what_is_there_is_found(self, tmp_path):
        write_tree('nightcity_fine', tmp_path / 'data/nightcity-fine', images=1)
        row = find_table('night').rows[0]
        (tmp_path / 'prior').mkdir()
        missing = [n.what for n in plan_row(row, places(tmp_path, prior='prior')).missing]
        assert missing == ['scores']
        (tmp_path / 'data/nightcity-fine/dtp_scores').mkdir()
        assert plan_row(row, places(tmp_path, prior='prior')).missing == []

    @pytest.mark.parametrize(('name', 'found'), [('tiny', True), ('nobody/nothing', False), ('no such/a b', False)])
    def test_priors(self, name, found):
        refiner = dict(type='G4SegRefiner', prior=name)
        assert [n.found for n in refiner_needs(refiner, download=False)] == [found]
        assert [n.found for n in refiner_needs(refiner, download=True)] == [True]

    def test_chains(self):
        chain = dict(type='SequentialRefiner', refiners=[
            dict(type='G4SegRefiner', prior='tiny'), dict(type='DenseCRFRefiner'),
            dict(type='CascadePSPRefiner', weights='nowhere/model'),
        ])  # fmt: skip
        found = [(n.what, n.found) for n in refiner_needs(chain, download=False) if n.what != 'package']
        assert found == [('prior', True), ('weights of CascadePSP', False)]


def test_a_table_of_runs_that_cannot_be_made(tmp_path):
    table = find_table('text-supervised')
    rows = fill(table, [plan_row(row, places(tmp_path)) for row in table.rows])
    assert rows[0][:4] == ('SCLIP, VOC', 'mIoU', '59.1', '59.8')
    assert rows[0][4:] == ('-', '-', '-', 'no run: the coarse model SCLIP is not in the project yet')
    assert as_csv(rows).count('\n') == len(rows) + 1
    assert as_markdown(rows).splitlines()[2].startswith('| SCLIP, VOC | mIoU | 59.1 | 59.8 |')


def write_ade_checkpoint(folder: Path, name: str) -> None:
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    config = Config.fromfile(ROOT / 'configs/segformer/segformer_mit-b1_ade20k_g4seg.py')
    model = MODELS.build(config.model.segmentor)
    model.decode_head.conv_seg.weight.data.mul_(40)
    folder.mkdir()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / name)


def test_runs_a_config_once_and_fills_the_table(tmp_path):
    """Through the script, on a synthetic ADE20K; then read back, not run again."""
    row = find_table('supervised').rows[0]
    write_tree('ade20k', tmp_path / 'data/ade/ADEChallengeData2016', images=2)
    write_ade_checkpoint(tmp_path / 'checkpoints', Path(row.run.weights).name)
    options = [f'{k}={v}'.replace(' ', '') for k, v in LIGHT.items()]
    command = [sys.executable, ROOT / 'tools/reproduce.py', 'supervised', '--out', tmp_path / 'out', '--prior', 'tiny']
    result = subprocess.run([*command, '--rows', 'SegFormer-B1', '--cfg-options', *options], capture_output=True,
                            text=True, check=False)  # fmt: skip
    folder = tmp_path / 'out/supervised'
    table = (folder / 'table.md').read_text()
    log = folder / 'SegFormer-B1/log.txt'
    assert (folder / 'SegFormer-B1/metrics.json').is_file(), log.read_text()[-3000:] + result.stderr[-3000:]
    report = json.loads((folder / 'SegFormer-B1/metrics.json').read_text())
    own = f'| SegFormer-B1 | mIoU | 42.2 | 42.9 | {report["coarse"]["mIoU"]:.2f} | {report["refined"]["mIoU"]:.2f} |'
    assert own in table
    assert (folder / 'SegFormer-B1__then_dense_CRF/metrics.json').is_file()
    assert '| SegFormer-B1, then CascadePSP | mIoU | 42.2 | - | - | - | - | missing: weights of CascadePSP' in table
    assert '| Mask2Former-R50 | mIoU | 47.2 | 47.8 | - | - | - | missing: checkpoint' in table
    assert table in result.stdout
    written = log.stat().st_mtime_ns
    again = plan_row(row, places(tmp_path, out=folder, prior='tiny', options=LIGHT))
    assert run_plan(again)
    assert log.stat().st_mtime_ns == written
    other = plan_row(row, places(tmp_path, out=folder, prior='tiny', options={**LIGHT, 'model.refiner.beta': 0.5}))
    assert read_figures(other) is None, 'another command has not been run'


def test_runs_seeds(tmp_path):
    write_tree('voc12', tmp_path / 'data/VOCdevkit/VOC2012', images=2)
    seeds = tmp_path / 'data/seeds/clip_es'
    seeds.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for image, _ in pairs('voc12', tmp_path / 'data/VOCdevkit/VOC2012'):
        maps = generator.random((2, 64, 96)).astype(np.float16)
        np.save(seeds / f'{image.stem}.npy', {'keys': np.array([3, 11]), 'attn_highres': maps}, allow_pickle=True)
    row = Row('seed', 70.8, 72.0, SeedRun('clip_es', 'clip-es', 'power:1', {'beta': 0.9}))
    plan = plan_row(row, places(tmp_path, prior='tiny', options=LIGHT))
    assert plan.missing == []
    assert run_plan(plan), (plan.folder / 'log.txt').read_text()[-3000:]
    figures = read_figures(plan)
    report = json.loads((plan.folder / 'masks/report.json').read_text())
    assert len(report['images']) == 4
    by_hand = []
    for side in ('coarse_areas', 'refined_areas'):
        inside, predicted, labelled = np.sum([image[side] for image in report['images']], axis=0)
        union = predicted + labelled - inside
        by_hand.append(np.mean([100 * i / u for i, u, n in zip(inside, union, labelled, strict=True) if n]))
    assert (figures.coarse, figures.refined) == pytest.approx(by_hand, abs=0.006)
    table = Table('one', (row,))
    assert fill(table, [plan])[0][2:4] == ('70.8', '72.0')
    assert fill(table, [plan])[0][-1] == 'measured'


def test_a_failing_run_is_said_with_its_log(tmp_path):
    row = Row('seed', None, None, SeedRun('irn_cam', 'irn', 'nonsense:1'))
    for folder in ('VOCdevkit/VOC2012/JPEGImages', 'VOCdevkit/VOC2012/SegmentationClass', 'seeds/irn_cam'):
        (tmp_path / 'data' / folder).mkdir(parents=True)
    plan = plan_row(row, places(tmp_path, prior='tiny', options=LIGHT))
    assert not run_plan(plan)
    assert 'power:ALPHA' in (plan.folder / 'log.txt').read_text()
    assert fill(Table('one', (row,)), [plan])[0][-1] == f'failed: {plan.folder / "log.txt"}'
