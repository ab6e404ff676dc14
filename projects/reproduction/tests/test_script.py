import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS
from projects.reproduction.paper import find_table
from projects.reproduction.plans import plan_row
from projects.reproduction.runs import read_figures, run_plan
from projects.reproduction.tests.setting import LIGHT, places
from tests.conftest import ROOT
from tests.hosts.mmseg.synthetic_trees import write_tree
from tests.scripts import run_script


def write_ade_checkpoint(folder: Path, name: str) -> None:
    from mmseg.registry import MODELS

    torch.manual_seed(0)
    config = Config.fromfile(ROOT / 'configs/segformer/segformer_mit-b1_ade20k_g4seg.py')
    model = MODELS.build(config.model.segmentor)
    model.decode_head.conv_seg.weight.data.mul_(40)
    folder.mkdir()
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, folder / name)


def test_runs_a_config_once_and_fills_the_table(tmp_path, monkeypatch, runs_in_this_process):
    """Through the script, on a synthetic ADE20K, every path with a blank; then read back, not run again."""
    work, data = tmp_path / 'my work', tmp_path / 'my data/ade'
    work.mkdir()
    monkeypatch.chdir(work)
    row = find_table('supervised').rows[0]
    write_tree('ade20k', data, images=2)
    write_ade_checkpoint(work / 'my checkpoints', Path(row.run.weights).name)
    shutil.copytree(EMBEDDED_PRIORS['tiny'], work / 'my prior')
    options = [f'{k}={v}'.replace(' ', '') for k, v in LIGHT.items()]
    options.append(f'test_dataloader.dataset.data_root={data}')
    arguments = ['supervised', '--rows', 'SegFormer-B1']
    arguments += [
        '--out',
        'my out',
        '--prior',
        'my prior',
        '--checkpoints',
        'my checkpoints',
        '--cfg-options',
        *options,
    ]
    result = run_script('projects/reproduction/__main__.py', *arguments)
    folder = Path('my out/supervised')
    log = folder / 'SegFormer-B1/log.txt'
    assert log.is_file(), result.stdout[-3000:] + result.stderr[-3000:]
    assert (folder / 'SegFormer-B1/metrics.json').is_file(), log.read_text()[-3000:]
    table = (folder / 'table.md').read_text()
    report = json.loads((folder / 'SegFormer-B1/metrics.json').read_text())
    own = f'| SegFormer-B1 | mIoU | 42.2 | 42.9 | {report["coarse"]["mIoU"]:.2f} | {report["refined"]["mIoU"]:.2f} |'
    assert f'{own} {report["gain"]["mIoU"]:+.2f} [' in table
    assert (folder / 'SegFormer-B1__then_dense_CRF/metrics.json').is_file()
    assert '| SegFormer-B1, then CascadePSP | mIoU | 42.2 | - | - | - | - | missing: weights of CascadePSP' in table
    assert '| Mask2Former-R50 | mIoU | 47.2 | 47.8 | - | - | - | missing: checkpoint' in table
    assert table in result.stdout
    assert '--cfg-options' not in json.loads((folder / 'SegFormer-B1/run.json').read_text())['command']
    written = log.stat().st_mtime_ns
    own = {'out': folder, 'prior': 'my prior', 'checkpoints': Path('my checkpoints')}
    light = {**LIGHT, 'test_dataloader.dataset.data_root': str(data)}
    again = plan_row(row, places(tmp_path, **own, options=light))
    assert run_plan(again)
    assert log.stat().st_mtime_ns == written
    other = plan_row(row, places(tmp_path, **own, options={**light, 'model.refiner.update.beta': 0.5}))
    assert other.command == again.command
    assert read_figures(other) is None, 'other settings have not been run'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['supervised', '--rows', 'nosuchrow'], r"got 'nosuchrow'\n  SegFormer-B1\n"),
        (['supervised', '--rows', 'nosuchrow', '--dry-run'], r"got 'nosuchrow'\n  SegFormer-B1\n"),
        (['nosuchtable'], r"got 'nosuchtable'"),
    ],
)
def test_unknown_names_end_with_status_2(arguments, message):
    result = run_script('projects/reproduction/__main__.py', *arguments)
    assert result.returncode == 2
    assert re.search(message, result.stderr)


def test_options_keep_the_blanks_of_a_text(monkeypatch):
    options = ['a=/my data/x', 'b=[1, 2]', 'c=2', 'd=(0.1, 0.7)', 'e=plain']
    monkeypatch.setattr(sys, 'argv', ['reproduce.py', '--cfg-options', *options])
    parsed = runpy.run_path(str(ROOT / 'projects/reproduction/__main__.py'))['parse_args']().cfg_options
    assert parsed == {'a': '/my data/x', 'b': [1, 2], 'c': 2, 'd': (0.1, 0.7), 'e': 'plain'}
