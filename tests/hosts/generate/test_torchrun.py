"""Shares of a data set under torchrun."""

import subprocess
import sys

import pytest

from mmseg_g4seg.hosts.folder import shares
from mmseg_g4seg.hosts.generate.run import generate_folder
from mmseg_g4seg.hosts.generate.task import GenerateTask
from mmseg_g4seg.prediction import ClassList
from tests.conftest import ROOT
from tests.hosts.folder.conftest import contents


def test_the_first_process_keeps_no_prior_beside_its_shares(tmp_path, monkeypatch):
    source = dict(type='SeeDiff', prior='tiny', image_size=32)
    task = GenerateTask(tmp_path / 'out', ClassList(['background', 'fish']), 1, source, dict(steps=1))
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.setattr(shares, '_under_torchrun', lambda _, begin, **__: vars(begin().worker))
    assert 'generator' not in generate_folder(task)


@pytest.mark.slow
def test_two_processes(tmp_path):
    options = '--prior tiny --classes background,sky,fish --count 3 --size 32 --steps 1 --out'
    command = ['-m', 'mmseg_g4seg.cli', 'generate', *options.split()]
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    for launcher, name in (([], 'plain'), (torchrun, 'spread')):
        subprocess.run([sys.executable, *launcher, *command, str(tmp_path / name)], check=True, cwd=ROOT)
    assert contents(tmp_path / 'spread') == contents(tmp_path / 'plain')
