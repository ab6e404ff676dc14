"""Folders refined by the operators of a pipeline, without a cluster."""

import pickle
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmseg_g4seg.hosts.folder.refine import MaskWorker
from mmseg_g4seg.hosts.folder.run import begin, finish, refine_folder
from mmseg_g4seg.io.label_files import IndexPNG
from mmseg_g4seg.io.storage import StoredPath
from tests.hosts.folder.conftest import contents, make_task
from tests.hosts.ray_data.needs_ray import ray

from mmseg_g4seg.hosts.ray_data.folder import ReadFiles, WriteFiles, refine_folder_on_cluster  # isort: skip
from mmseg_g4seg.hosts.ray_data.operators import PredictCoarse  # isort: skip
from mmseg_g4seg.hosts.ray_data.rows import Setting  # isort: skip
from tests.hosts.ray_data.in_process import InProcess, batch_of, refining  # isort: skip


class TestFiles:
    def run(self, task: Any, **known: Any) -> dict[str, Any]:
        """What the cluster does, operator after operator; they travel as Ray sends them."""
        plan, state = begin(task)
        setting, files = Setting(task.classes, **known), dict(worker=MaskWorker(task, state))
        batch = batch_of(*({'key': job.name, 'job': pickle.dumps(job)} for job in plan.jobs))
        operators: list[Any] = [ReadFiles(setting, InProcess(), **files)]
        if task.coarse:
            operators.append(PredictCoarse(setting, InProcess(), config=task.coarse))
        operators += [refining(task.refiner), WriteFiles(setting, InProcess(), **files)]
        for operator in operators:
            batch = ray.cloudpickle.loads(ray.cloudpickle.dumps(operator))(batch)
        assert batch['name'] == [job.name for job in plan.jobs]
        return finish(task, plan, state)

    @pytest.mark.parametrize('damage', ['mask', 'image', 'missing', 'truth', None])
    def test_files_are_those_of_one_process(self, tmp_path, damage):
        task = make_task(tmp_path, truth=tmp_path / 'masks')
        path = {'image': task.images, 'truth': task.masks}.get(damage or '', task.masks) / 'image_1.png'
        if damage == 'missing':
            (task.images / 'image_1.png').unlink()
        elif damage:
            path.write_bytes(path.read_bytes()[:60])
        refine_folder(task)
        expected = contents(task.out)
        shutil.rmtree(task.out)
        self.run(task)
        assert contents(task.out) == expected

    def test_a_store_from_a_folder_that_only_the_driver_has(self, tmp_path):
        fs = pytest.importorskip('pyarrow.fs')
        task = make_task(tmp_path)
        refine_folder(task)
        store = StoredPath('', fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), prefix='store://')
        stored = replace(task, images=store / 'images', masks=store / 'masks', out=store / 'stored')
        self.run(stored, folder=tmp_path / 'not on this machine')
        found, expected = (contents(out) for out in (tmp_path / 'stored', task.out))
        # the report names the folders
        assert {**found, 'report.json': b''} == {**expected, 'report.json': b''}

    def test_a_mask_that_cannot_be_written(self, tmp_path, monkeypatch):
        task, encode = make_task(tmp_path), IndexPNG.encode
        bad = 'ValueError: no room for 300 classes'

        def fail(self: Any, prediction: Any, *more: Any) -> bytes:
            if prediction.probs.shape[-1] == 8:
                raise ValueError('no room for 300 classes')
            return encode(self, prediction, *more)

        for folder in (task.images, task.masks):
            Image.fromarray(np.zeros((8, 8, 3) if folder == task.images else (8, 8), np.uint8)).save(
                folder / 'image_1.png'
            )
        monkeypatch.setattr(IndexPNG, 'encode', fail)
        reports = [refine_folder(task), self.run(replace(task, out=tmp_path / 'spread'))]
        assert [[error['error'] for error in report['errors']] for report in reports] == [[bad], [bad]]

    def test_a_source_makes_the_masks(self, tmp_path):
        from tests.hosts.ray_data import stubs

        task = replace(make_task(tmp_path, count=2), masks=None, coarse=dict(type=stubs.StubSource.__name__))
        report = refine_folder(task)
        assert [record['name'] for record in report['images']] == ['image_0', 'image_1']
        assert report['images'][0]['class_pixels']['coarse'] != report['images'][1]['class_pixels']['coarse']
        expected = contents(task.out)
        shutil.rmtree(task.out)
        self.run(task)
        assert contents(task.out) == expected

    def test_a_full_disk_ends_the_run(self, tmp_path, monkeypatch):
        task = make_task(tmp_path, count=1)

        def full(*_: Any) -> None:
            raise OSError('No space left on device')

        monkeypatch.setattr('mmseg_g4seg.hosts.folder.run_state.RunState.save', full)
        with pytest.raises(OSError, match='No space left'):
            self.run(task)

    def test_one_gpu_by_number(self, tmp_path):
        with pytest.raises(ValueError, match="device: expected 'cpu' or 'cuda'"):
            refine_folder_on_cluster(make_task(tmp_path, count=1, device='cuda:1'))

    def test_an_address_of_rays_client(self, tmp_path):
        task = make_task(tmp_path, count=1)
        with pytest.raises(ValueError, match=r"expected local, auto or HOST:6379, got 'ray://HEAD:10001'.*job submit"):
            refine_folder_on_cluster(task, address='ray://HEAD:10001')
        assert not task.out.exists()

    def test_a_result_that_was_lost(self, tmp_path):
        task = make_task(tmp_path)
        plan, state = begin(task)
        with pytest.raises(RuntimeError, match=r'3 of 3 are not done \(image_0 ...\); the same command goes on'):
            finish(task, plan, state)
