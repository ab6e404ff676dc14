"""tools/dist_test.sh and tools/slurm_test.sh: several processes give exactly the figures of one.

Three images for two processes, so that the sampler gives one image twice.
"""

import csv
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmseg_g4seg.hosts.mmseg.launch.config import share_among_processes
from mmseg_g4seg.hosts.mmseg.launch.replicas import LAUNCHERS, process_variables
from tests.conftest import ROOT
from tests.fork_server import python_command
from tests.hosts.mmseg.conftest import plain_config
from tests.hosts.mmseg.test_saved_scores import saved_config
from tests.scripts import run_script

DIST_TEST, SLURM_TEST = ROOT / 'tools/dist_test.sh', ROOT / 'tools/slurm_test.sh'
NAMES = ['0.png', '1.png', '2.png']


@dataclass(frozen=True)
class Case:
    """An evaluation: its arguments, the checkpoint as the shell scripts take it, the report of one process."""

    config: Path
    checkpoint: str
    options: list[str]
    report: dict

    def arguments(self) -> list[str]:
        """The report goes into the current folder: mmengine takes spaces out of the paths in options."""
        return [*self.options, '--work-dir', 'work', '--cfg-options', 'test_evaluator.report_dir=.']


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return str(listener.getsockname()[1])


def quick_python() -> dict[str, str]:
    """Processes that have imported mmseg, by the variables of our scripts and of torchrun."""
    return {'PYTHON': python_command(), 'PYTHON_EXEC': python_command()}


def call(*command: object, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    """Runs a command in a folder of its own, one thread a process, without GPUs."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ, 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', **variables
    }  # fmt: skip
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


def read_report(folder: Path, result: subprocess.CompletedProcess) -> dict:
    assert result.returncode == 0, result.stderr[-6000:]
    return json.loads((folder / 'metrics.json').read_text())


def run_alone(config: Path, checkpoint: str, options: list[str], folder: Path) -> Case:
    case = Case(config, checkpoint, options, {})
    given = [config] if checkpoint == 'none' else [config, checkpoint]
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = run_script('tools/test.py', *given, *case.arguments())
    return Case(config, checkpoint, options, read_report(folder, result))


def every_pixel(refiner: dict) -> dict:
    """The refiner with all pixels as uncertain ones, so that it does change some."""
    return {**refiner, 'update': dict(type='CorrespondenceUpdate', confidence_range=(0.0, 1.0))}


@pytest.fixture(scope='module')
def segmentor_case(data_root, checkpoint, refiner_config, tmp_path_factory) -> Case:
    """A segmentor with synchronised batch norm, as mmseg's configs have it; a space in every path."""
    folder = tmp_path_factory.mktemp('with a space')
    config = plain_config(data_root, folder)
    config.model.decode_head.norm_cfg = dict(type='SyncBN')
    config.dump(folder / 'plain.py')
    Config(dict(refiner=every_pixel(refiner_config))).dump(folder / 'refiner.py')
    return run_alone(folder / 'plain.py', checkpoint, ['--refiner', str(folder / 'refiner.py')], folder / 'alone')


@pytest.fixture(scope='module')
def saved_case(data_root, refiner_config, tmp_path_factory) -> Case:
    """A model without parameters."""
    folder = tmp_path_factory.mktemp('saved')
    generator = np.random.default_rng(0)
    for i in range(3):
        scores = np.exp(generator.normal(0, 1, (5, 10, 14))).astype(np.float32)
        np.savez(folder / f'{i}.npz', probs=scores / scores.sum(0))
    refiner = every_pixel(refiner_config)
    saved_config(data_root, folder, refiner, folder).dump(folder / 'saved.py')
    return run_alone(folder / 'saved.py', 'none', [], folder / 'alone')


def assert_same(report: dict, expected: dict) -> None:
    """Every figure but the seconds."""
    assert list(report) == list(expected)
    for key in expected:
        if key != 'seconds':
            assert report[key] == expected[key], key
    assert report['seconds'].keys() == expected['seconds'].keys()
    assert expected['coarse'] != expected['refined'], 'the refiner changed nothing: the comparison is empty'


def assert_every_image_once(folder: Path, report: dict) -> None:
    """In the data set's order."""
    assert [image['name'] for image in report['images']] == NAMES
    with (folder / 'images.csv').open() as file:
        assert [row['name'] for row in csv.DictReader(file)] == NAMES


@pytest.mark.slow
def test_two_processes_behind_a_segmentor(segmentor_case, tmp_path):
    """From a folder of its own, with label maps."""
    folder = tmp_path / 'two of them'
    arguments = segmentor_case.arguments()
    command = [DIST_TEST, segmentor_case.config, segmentor_case.checkpoint, 2, '--out', folder / 'out', *arguments]
    report = read_report(folder, call(*command, folder=folder, PORT=free_port(), **quick_python()))
    assert_same(report, segmentor_case.report)
    assert_every_image_once(folder, report)
    for stage in ('out', 'out/coarse'):
        assert sorted(path.name for path in (folder / stage).glob('*.png')) == NAMES
    # what they exchanged lay in the run's folder, and is gone
    assert not [path for path in folder.rglob('*') if path.name in ('.dist_test', 'exchanged')]


FAKE_SRUN = """#!{python}
import json, os, subprocess, sys
arguments = sys.argv[1:]
command = arguments[arguments.index(os.environ['PYTHON']):]
options = arguments[:len(arguments) - len(command)]
with open('srun.json', 'w') as file:
    json.dump(dict(options=options, command=command, path=os.environ['PYTHONPATH']), file)
count = int(next(o for o in options if o.startswith('--ntasks=')).removeprefix('--ntasks='))
tasks = [
    subprocess.Popen(command, env=dict(os.environ, SLURM_PROCID=str(i), SLURM_LOCALID=str(i), SLURM_NTASKS=str(count),
                                       SLURM_NNODES='1', SLURM_NODELIST='node1'))
    for i in range(count if os.environ.get('START_TASKS') else 0)
]
sys.exit(max([task.wait() for task in tasks], default=0))
"""


@pytest.fixture
def srun(tmp_path) -> dict[str, str]:
    """A PATH with an `srun` that writes its arguments to srun.json and starts tasks if START_TASKS is set."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    (folder / 'srun').write_text(FAKE_SRUN.format(python=sys.executable))
    (folder / 'srun').chmod(0o755)
    return {'PATH': f'{folder}:{os.environ["PATH"]}'}


@pytest.mark.slow
def test_two_slurm_tasks_of_saved_scores(saved_case, tmp_path, srun):
    """Started as Slurm does, with its variables."""
    command = [SLURM_TEST, 'gpus', 'a job', saved_case.config, 'none', *saved_case.arguments()]
    variables = {**srun, **quick_python(), 'GPUS': '2', 'START_TASKS': '1', 'MASTER_PORT': free_port()}
    report = read_report(tmp_path, call(*command, folder=tmp_path, **variables))
    assert_same(report, saved_case.report)
    assert_every_image_once(tmp_path, report)


def recorded(folder: Path, *arguments: str, **variables: str) -> dict:
    result = call(SLURM_TEST, *arguments, folder=folder, **variables)
    assert result.returncode == 0, result.stderr
    return json.loads((folder / 'srun.json').read_text())


def test_what_srun_is_given(tmp_path, srun):
    job = recorded(tmp_path, 'a queue', 'a job', 'my config.py', 'a b.pth', '--out', 'o u t', **srun)
    assert job['options'] == [
        '--partition=a queue', '--job-name=a job', '--gres=gpu:4', '--ntasks=4', '--ntasks-per-node=4',
        '--cpus-per-task=5', '--kill-on-bad-exit=1',
    ]  # fmt: skip
    script = str(ROOT / 'tools/test.py')
    given = ['my config.py', 'a b.pth', '--launcher', 'slurm', '--out', 'o u t']
    assert job['command'] == [sys.executable, '-u', script, *given]
    assert job['path'].split(':')[0] == str(ROOT)


def test_variables_of_slurm_test(tmp_path, srun):
    variables = {
        'GPUS': '16',
        'GPUS_PER_NODE': '8',
        'CPUS_PER_TASK': '3',
        'SRUN_ARGS': '--time=1:00  --exclude=n[1-2] *',
    }
    job = recorded(tmp_path, 'queue', 'job', 'c.py', '-', **srun, **variables)
    expected = ['--gres=gpu:8', '--ntasks=16', '--ntasks-per-node=8', '--cpus-per-task=3', '--kill-on-bad-exit=1']
    assert job['options'][2:] == [*expected, '--time=1:00', '--exclude=n[1-2]', '*']
    assert job['command'][3:] == ['c.py', '--launcher', 'slurm']


def test_fewer_gpus_than_a_machine_has(tmp_path, srun):
    job = recorded(tmp_path, 'queue', 'job', 'c.py', 'none', **srun, GPUS='1')
    assert job['options'][2:5] == ['--gres=gpu:1', '--ntasks=1', '--ntasks-per-node=1']


FAKE_PYTHON = '#!/bin/sh\nfor a in "$@"; do echo "$a"; done\n'


def test_what_torch_is_given(tmp_path):
    """The variables of several machines, the defaults, and paths with spaces."""
    (tmp_path / 'python').write_text(FAKE_PYTHON)
    (tmp_path / 'python').chmod(0o755)
    variables = {'PYTHON': str(tmp_path / 'python')}
    several = {'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': 'node0', 'PORT': '1234'}
    command = [DIST_TEST, 'a c.py', 'a b.pth', 3, '--cfg-options', 'a=b c']
    test_script = [str(ROOT / 'tools/test.py'), 'a c.py', 'a b.pth', '--launcher', 'pytorch', '--cfg-options', 'a=b c']
    for given, values in ((several, ['2', '1', '3', 'node0', '1234']), ({}, ['1', '0', '3', '127.0.0.1', '29500'])):
        lines = call(*command, folder=tmp_path, **variables, **given).stdout.splitlines()
        assert lines[:2] == ['-m', 'torch.distributed.run']
        names = ['--nnodes', '--node-rank', '--nproc-per-node', '--master-addr', '--master-port']
        assert lines[2:12] == [part for pair in zip(names, values, strict=True) for part in pair]
        assert lines[12:] == test_script


@pytest.mark.parametrize(
    ('command', 'said'),
    [
        ([DIST_TEST], 'usage: dist_test.sh CONFIG CHECKPOINT GPUS'),
        ([DIST_TEST, 'config.py', 'checkpoint.pth'], 'usage: dist_test.sh'),
        (
            [DIST_TEST, 'config.py', 'checkpoint.pth', '--out'],
            "expected a number of GPUs as third argument, got '--out'",
        ),
        ([DIST_TEST, 'config.py', 'checkpoint.pth', '0'], "got '0'"),
        ([SLURM_TEST, 'queue', 'job', 'config.py'], 'usage: slurm_test.sh PARTITION JOB CONFIG CHECKPOINT'),
    ],
)
def test_missing_arguments(tmp_path, command, said):
    result = call(*command, folder=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert 'PYTHON' in result.stderr


@pytest.mark.parametrize('no_checkpoint', ['none', '-'])
def test_no_checkpoint(tmp_path, no_checkpoint):
    (tmp_path / 'python').write_text(FAKE_PYTHON)
    (tmp_path / 'python').chmod(0o755)
    result = call(DIST_TEST, 'c.py', no_checkpoint, 2, '--tta', folder=tmp_path, PYTHON=str(tmp_path / 'python'))
    assert result.stdout.splitlines()[13:] == ['c.py', '--launcher', 'pytorch', '--tta']


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_a_launcher_that_did_not_start_the_process(launcher, monkeypatch):
    for name in LAUNCHERS[launcher]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=rf'--launcher {launcher}: expected .*(SIZE|NTASKS).*tools/dist_test\.sh'):
        share_among_processes(Config(dict(launcher=launcher)))


class TestVariables:
    """How Slurm's and Open MPI's variables become torch's."""

    def test_torchs_own_stay(self):
        given = {'RANK': '3', 'WORLD_SIZE': '8', 'MASTER_ADDR': 'node0', 'MASTER_PORT': '1'}
        assert process_variables('pytorch', {**given, 'HOME': '/'}) == given

    def test_slurm_on_one_machine(self):
        given = {'SLURM_PROCID': '1', 'SLURM_NTASKS': '2', 'SLURM_NNODES': '1', 'SLURM_NODELIST': 'node7'}
        expected = {'RANK': '1', 'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '29500'}
        assert process_variables('slurm', given) == expected

    def test_slurm_on_several_asks_slurm(self, tmp_path, monkeypatch):
        (tmp_path / 'scontrol').write_text(
            '#!/bin/sh\ntest "$*" = "show hostnames node[7-8]" && echo node7 && echo node8\n'
        )
        (tmp_path / 'scontrol').chmod(0o755)
        monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
        given = {'SLURM_PROCID': '1', 'SLURM_NTASKS': '2', 'SLURM_NNODES': '2', 'SLURM_NODELIST': 'node[7-8]'}
        assert process_variables('slurm', given)['MASTER_ADDR'] == 'node7'

    def test_open_mpi(self):
        given = {'OMPI_COMM_WORLD_RANK': '1', 'OMPI_COMM_WORLD_SIZE': '2', 'MASTER_PORT': '7'}
        expected = {'RANK': '1', 'WORLD_SIZE': '2', 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': '7'}
        assert process_variables('mpi', given) == expected
