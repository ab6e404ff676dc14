"""Runs in processes of their own: killed and taken up again, and shared by several."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.hosts.folder.task import FolderTask
from tests.fork_server import Fork, python_command
from tests.hosts.folder import slow_refiner
from tests.hosts.folder.conftest import ROOT, SCRIPT, contents, make_task, write_pair
from tests.scripts import run_script

LIGHT_RUN = Path(__file__).with_name('light_run.py')
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != 'linux', reason='looks into /proc')]


def slow(seconds: float) -> dict[str, Any]:
    """`SlowRefiner`, which `light_run.py` knows, too."""
    return dict(type='SlowRefiner', seconds=seconds)


def make_slow_task(root: Path, count: int, seconds: float) -> tuple[FolderTask, dict[str, bytes]]:
    """A task with an error in it, and what an undisturbed run makes of it."""
    task = make_task(root, count=count, refiner=slow(seconds))
    mask = write_pair(root, 'broken', 'index-png')[1]
    mask.write_bytes(mask.read_bytes()[:60])
    (root / 'task').write_bytes(pickle.dumps(task))
    undisturbed = replace(task, out=root / 'undisturbed')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slow_refiner, 'sleep', lambda _: None)
        report = refine_folder(undisturbed)
    assert len(report['images']) == count
    assert len(report['errors']) == 1
    return task, contents(undisturbed.out)


def light_command(root: Path, *mode: Any) -> list[str]:
    return [str(LIGHT_RUN), str(root / 'task'), *map(str, mode)]


def output(command: list[str], code: int = 0) -> str:
    python = python_command()
    environment = {**ENVIRONMENT, 'PYTHON_EXEC': python}  # torchrun's word for it
    done = subprocess.run([python, *command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def finish(task: FolderTask, workers: int) -> None:
    """Takes a run up again; its broken mask is still there."""
    if workers == 1:
        assert len(refine_folder(task)['errors']) == 1
    else:  # its workers import the script that started them, and with it `SlowRefiner`
        output(light_command(task.out.parent, workers), code=1)


def descendants(process: int) -> list[int]:
    """Processes that a process has started, and those that they have, but for dead ones."""
    parents = {}
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, parent = path.read_text().rpartition(')')[2].split()[:2]
        except OSError:  # it has just ended
            continue
        if state != 'Z':
            parents[int(path.parent.name)] = int(parent)
    found = [process]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def is_alive(process: int) -> bool:
    try:
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float = 600) -> None:
    """Long enough for a busy machine, where three processes may take minutes to import torch."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.005)


@contextmanager
def started(command: list[str]) -> Iterator[Fork]:
    process = Fork(command, env=ENVIRONMENT)
    try:
        yield process
    finally:
        process.kill()


def kill_when(command: list[str], out: Path, results: int) -> None:
    """Kills a run that has written so many results; the processes that it has started end by themselves."""
    with started(command) as process:
        wait_for(lambda: len(list(out.glob('*.png'))) >= results or process.poll() is not None)
        others = descendants(process.pid)
        process.kill()
        assert process.returncode == -signal.SIGKILL
    wait_for(lambda: not any(map(is_alive, others)), 60)


def test_killed_at_twenty_moments(tmp_path):
    task, undisturbed = make_slow_task(tmp_path, 60, 0.01)
    # not from here: a fork that is killed while it draws its bar leaves the bars' lock held, here too
    assert json.loads(output(light_command(tmp_path, 'kill', 0))) == 20
    assert contents(task.out) == undisturbed


def test_killed_before_each_change_of_a_file(tmp_path):
    task, undisturbed = make_slow_task(tmp_path, 1, 0)
    steps, *wrong = json.loads(output(light_command(tmp_path, 'kill-each')))
    assert steps > 20
    assert wrong == []
    assert contents(task.out) == undisturbed


def test_two_workers_killed_and_not(tmp_path):
    task, undisturbed = make_slow_task(tmp_path, 40, 0.1)
    kill_when(light_command(tmp_path, 2), task.out, 3)
    assert len(list(task.out.glob('*.png'))) < 40  # the workers did not go on to the end
    assert not (task.out / 'report.json').exists()
    finish(task, 2)
    assert contents(task.out) == undisturbed


@pytest.mark.parametrize('workers', [1, 2])
def test_interrupted(tmp_path, workers):
    """Ctrl-C reaches the workers, too: each printed a traceback."""
    task, undisturbed = make_slow_task(tmp_path, 30, 0.1)
    # a group of its own, as a shell starts a command: the terminal interrupts all of it
    process = Fork(light_command(tmp_path, workers), env=ENVIRONMENT, stderr=tmp_path / 'said', group=True)
    wait_for(lambda: len(list(task.out.glob('*.png'))) >= 2 or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 130
    said = (tmp_path / 'said').read_text()
    assert 'Traceback' not in said
    assert said.splitlines()[-1] == 'interrupted'
    assert len(list(task.out.glob('*.png'))) < 30
    finish(task, 1)  # whatever their number was
    assert contents(task.out) == undisturbed


def test_two_runs_in_one_folder(tmp_path):
    task, undisturbed = make_slow_task(tmp_path, 40, 0.1)
    with started(light_command(tmp_path, 1)) as process:
        wait_for(lambda: list(task.out.glob('*.png')) or process.poll() is not None)
        said = rf'{task.out}: another run is at work there \(process {process.pid} on .*, started .*\); wait'
        for overwrite in (False, True):
            with pytest.raises(FileExistsError, match=said):
                refine_folder(task, overwrite=overwrite)
        process.kill()
    finish(task, 1)  # what a killed run held is free
    assert contents(task.out) == undisturbed


def test_two_processes_under_torchrun(tmp_path):
    task, undisturbed = make_slow_task(tmp_path, 5, 0)
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    output([*torchrun, *light_command(tmp_path, 1)], code=1)  # the first process's exit code: there is an error
    assert contents(task.out) == undisturbed


def test_the_tool_itself_killed_and_finished(tmp_path, config):
    config.write_text("refiner = dict(type='PAMRRefiner')\n")
    task = make_task(tmp_path, count=40, refiner=dict(type='PAMRRefiner'))
    folders = [str(folder) for folder in (task.images, task.masks, task.out)]
    names = ['--classes', ','.join(task.classes.names), '--format', 'index-png', '--refiner', str(config)]
    command = [str(SCRIPT), *folders, *names]
    kill_when([*command, '--workers', '2'], task.out, 2)
    assert not (task.out / 'report.json').exists()
    assert run_script(*command).returncode == 0
    undisturbed = replace(task, out=tmp_path / 'undisturbed')
    refine_folder(undisturbed)
    assert contents(task.out) == contents(undisturbed.out)
