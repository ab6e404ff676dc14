"""Datasets and folders on a cluster of three nodes on one machine, whose refiners are stubs and images tiny.

Processes take seconds to start, so that each test shows several things.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_g4seg.cli import refine_masks
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.refiners.build import build_refiner
from tests.conftest import ROOT
from tests.hosts.folder.conftest import CLASSES, contents, make_task, write_pair
from tests.hosts.ray_data.needs_ray import ray

RUNS = Path(__file__).with_name('runs.py')


@pytest.mark.parametrize(('sound', 'broken'), [(27, 3), pytest.param(950, 50, marks=pytest.mark.slow)])
def test_the_command_with_damaged_inputs(nodes, tmp_path, capsys, sound, broken):
    """One actor, tasks of 8: files, table and exit code as of one process; every second damage is that of an image."""
    from tests.hosts.ray_data.runs import stub

    task, at_fault = make_task(tmp_path, count=sound), []
    for i in range(broken):
        path = write_pair(tmp_path, f'broken_{i:02}', 'index-png')[i % 2]
        path.write_bytes(path.read_bytes()[: 60 + i])
        at_fault.append(str(path))
    config = tmp_path / 'refiner.py'
    config.write_text(f'refiner = {stub()!r}\n')
    arguments = ['--classes', ','.join(CLASSES.labels), '--format', 'index-png', '--refiner', str(config)]
    plain, spread = tmp_path / 'plain', tmp_path / 'spread'
    for out, more in ((plain, []), (spread, ['--ray', 'auto', '--batch-size', '8'])):
        assert refine_masks.main([str(task.images), str(task.masks), str(out), *arguments, *more]) == 1
    assert contents(spread) == contents(plain)
    errors = json.loads((spread / 'report.json').read_text())['errors']
    assert sorted(error['path'] for error in errors) == sorted(at_fault)
    assert f'{sound} masks refined' in capsys.readouterr().out


@pytest.mark.slow
def test_any_number_of_actors_and_any_batch(nodes, tmp_path):
    """A real refiner: the files are those of one process, and of two that it starts."""
    from mmseg_g4seg.hosts.ray_data.folder import refine_folder_on_cluster

    refiner = dict(type='G4SegRefiner', prior='tiny', image_size=32, update=dict(type='LikelihoodUpdate'))
    task = make_task(tmp_path, count=10, refiner=refiner)
    refine_folder(task)
    expected = contents(task.out)
    assert len([name for name in expected if name.endswith('.png')]) == 10
    spread = replace(task, out=tmp_path / 'workers')
    refine_folder(spread, workers=2)
    assert contents(spread.out) == expected
    for actors, batch_size in ((1, 8), (2, 3), (4, 1)):
        spread = replace(task, out=tmp_path / f'ray_{actors}')
        refine_folder_on_cluster(spread, address='auto', workers=actors, batch_size=batch_size)
        assert contents(spread.out) == expected


@pytest.mark.slow
def test_an_actor_is_killed_and_an_image_kills(nodes, tmp_path):
    """Two actors, tasks of 3: image_0 is held while its actor is killed, image_3 ends every process that takes it."""
    from tests.hosts.ray_data.runs import WatchedRun, wait_for

    run = WatchedRun.make(tmp_path, count=8, held=['image_0.png'], deadly=['image_3.png'])
    wait = run.start(workers=2, batch_size=3)
    os.kill(wait_for(lambda: run.attempts('image_0.png'))[0], signal.SIGKILL)
    wait_for(lambda: len(run.attempts('image_0.png')) == 2)
    run.release()
    report = wait()
    [error] = report['errors']
    assert error['name'] == 'image_3'
    assert error['error'] == 'ended its process 3 times: out of memory, or a fault in compiled code'
    assert len(run.attempts('image_3.png')) == 4  # once among others
    assert len({*run.attempts('image_3.png')}) == 4
    assert run.outcome(report) == run.undisturbed('image_3')


@pytest.mark.slow
def test_a_node_is_removed(nodes, tmp_path):
    """Four actors, tasks of 1: each holds an image when the node of one of them is taken away."""
    from tests.hosts.ray_data.runs import WatchedRun, wait_for

    # all are held: which images an actor takes, and whether a second one waits behind the first, is Ray's choice
    held = [f'image_{i}.png' for i in range(8)]
    run = WatchedRun.make(tmp_path, count=8, held=held)
    wait = run.start(workers=4, batch_size=1)
    actors = wait_for(lambda: len(found := {pid for name in held for pid in run.attempts(name)}) == 4 and found)
    parents = [int(Path(f'/proc/{actor}/stat').read_text().split()[3]) for actor in actors]
    node = next(n for n in nodes.worker_nodes if n.all_processes['raylet'][0].process.pid in parents)
    nodes.remove_node(node, allow_graceful=False)
    run.release()
    report = wait()
    assert report['errors'] == []
    assert run.outcome(report) == run.undisturbed()


@pytest.mark.slow
def test_the_driver_is_killed_and_begun_again(nodes, tmp_path):
    from tests.hosts.ray_data.runs import WatchedRun, wait_for

    run = WatchedRun.make(tmp_path, count=6, held=[f'image_{i}.png' for i in range(6)], free=2)
    (tmp_path / 'task').write_bytes(pickle.dumps(run.task))
    command = [sys.executable, str(RUNS), str(tmp_path / 'task'), nodes.address, '1']
    driver = subprocess.Popen(command, env={**os.environ, 'PYTHONPATH': str(ROOT)}, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(run.task.out.glob('*.png'))) == 2 or driver.poll() is not None)
    driver.kill()
    driver.wait()
    written = list(run.task.out.glob('*.png'))
    assert len(written) == 2
    assert not (run.task.out / 'report.json').exists()
    run.release()
    report = run.start(workers=1)()
    assert run.outcome(report) == run.undisturbed()
    # what was written was not refined again
    assert [len(run.attempts(path.name)) for path in written] == [1] * len(written)


def test_a_dataset(nodes, monkeypatch):
    """Rows of several sizes, one of them no image; masks of a source, a chain that leaves the GPU and comes back."""
    pytest.importorskip('pydensecrf')
    from mmseg_g4seg.hosts.ray_data import pipeline
    from mmseg_g4seg.hosts.ray_data.dataset import refine_dataset
    from tests.hosts.ray_data.runs import stub
    from tests.hosts.ray_data.stubs import StubSource

    generator = np.random.default_rng(0)
    rows = [
        {'image': generator.integers(0, 256, (8 + i % 3, 9, 3), np.uint8), 'key': f'k{i}', 'more': i} for i in range(12)
    ]
    rows[4]['image'] = rows[4]['image'][:, :, :2]
    names, source = ['background', 'cat', 'dog'], dict(type=StubSource.__name__)
    chain = dict(type='SequentialRefiner', refiners=[stub(), dict(type='DenseCRFRefiner'), stub()])
    monkeypatch.setattr(pipeline, 'GPU_DEVICE', 'cpu')
    dataset = ray.data.from_items(rows, override_num_blocks=4)
    refined = refine_dataset(dataset, chain, names, batch_size=5, num_gpus=1, coarse=source)
    found = sorted(refined.take_all(), key=lambda row: row['more'])
    refiner = build_refiner(chain)
    for given, row in zip(rows, found, strict=True):
        report = json.loads(row['report'])
        assert report['name'] == row['key'] == given['key']
        assert (row['image'] == given['image']).all()
        if row['more'] == 4:
            assert '(8, 9, 2)' in report['error'] or '9, 2' in report['error']
            assert row['labels'].size == row['scores'].size == 0
            continue
        image = torch.from_numpy(given['image']).permute(2, 0, 1) / 255
        coarse = StubSource().predict(image, names, key=row['key'])
        expected = refiner.refine(image, coarse, names, key=row['key'])
        assert (row['scores'] == expected.probs.numpy()).all()
        assert (row['labels'] == expected.label_map.numpy()).all()
        assert report['stages'] == ['coarse', 'stub', 'dense CRF', 'refined']
        assert report['class_pixels']['coarse'] == torch.bincount(coarse.label_map.flatten(), minlength=3).tolist()
