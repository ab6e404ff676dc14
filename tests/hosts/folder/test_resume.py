"""Runs that are taken up again."""

import os
import shutil
import time
from dataclasses import replace

import pytest

from mmseg_g4seg.hosts.folder import refine as folder_module
from mmseg_g4seg.hosts.folder.run import begin, refine_folder
from mmseg_g4seg.io.formats import Reading
from mmseg_g4seg.prediction import ClassList
from tests.hosts.folder.conftest import (
    PAMR,
    contents,
    contents_of_a_fresh_run,
    make_task,
    write_labels,
    write_pair,
)


def never(*_: object, **__: object) -> None:
    raise AssertionError('the refiner was built')


class TestResume:
    def test_finished_work_is_not_done_again(self, tmp_path, monkeypatch):
        task = make_task(tmp_path)
        refine_folder(task)
        before, times = contents(task.out), {p: p.stat().st_mtime_ns for p in task.out.glob('*.png')}
        monkeypatch.setattr(folder_module, 'build_refiner', never)
        report = refine_folder(task)
        assert len(report['images']) == 3
        assert contents(task.out) == before
        assert {p: p.stat().st_mtime_ns for p in task.out.glob('*.png')} == times

    def test_only_what_is_new_or_gone_is_done(self, tmp_path):
        task = make_task(tmp_path)
        refine_folder(task)
        undisturbed = contents(task.out)
        kept = (task.out / 'image_0.png').stat().st_mtime_ns
        (task.out / 'image_1.png').unlink()
        write_pair(tmp_path, 'image_3', 'index-png', seed=3)
        report = refine_folder(task)
        assert [record['name'] for record in report['images']] == [f'image_{i}' for i in range(4)]
        assert (task.out / 'image_0.png').stat().st_mtime_ns == kept
        assert contents(task.out)['image_1.png'] == undisturbed['image_1.png']

    @pytest.mark.parametrize('folder', ['masks', 'images', 'truth'])
    def test_what_was_written_since_is_done_again(self, tmp_path, folder):
        """A better mask of the same name, and the same command: the old result stood, with exit code 0."""
        write_labels(tmp_path / 'truth')
        task = make_task(tmp_path, truth=tmp_path / 'truth')
        refine_folder(task)
        before = contents(task.out)
        for path in task.out.glob('*.png'):  # an hour ago
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 3600 * 10**9))
        for path in (*task.masks.iterdir(), *task.images.iterdir(), *task.truth.iterdir()):
            os.utime(path, ns=(0, path.stat().st_mtime_ns - 7200 * 10**9))
        shutil.copyfile(tmp_path / folder / 'image_0.png', tmp_path / folder / 'image_1.png')
        plan, state = begin(task)
        assert [job.name for job in state.remaining(plan.jobs)] == ['image_1']
        refine_folder(task)
        after = contents(task.out)
        assert after == contents_of_a_fresh_run(task, tmp_path / 'fresh')
        assert after['report.json'] != before['report.json']

    def test_files_of_a_clock_that_is_fast(self, tmp_path, monkeypatch):
        task = make_task(tmp_path)
        refine_folder(task)
        os.utime(task.masks / 'image_1.png', ns=(0, time.time_ns() + 3600 * 10**9))
        monkeypatch.setattr(folder_module, 'build_refiner', never)
        assert len(refine_folder(task)['images']) == 3

    def test_errors_are_tried_again(self, tmp_path):
        task = make_task(tmp_path)
        good = (task.masks / 'image_1.png').read_bytes()
        (task.masks / 'image_1.png').write_bytes(good[:50])
        assert [error['name'] for error in refine_folder(task)['errors']] == ['image_1']
        assert not (task.out / 'image_1.png').exists()
        (task.masks / 'image_1.png').write_bytes(good)
        mended = refine_folder(task)
        assert not mended['errors']
        assert contents(task.out) == contents_of_a_fresh_run(task, tmp_path / 'fresh')

    @pytest.mark.parametrize(
        ('name', 'change'),
        [
            ('soften', dict(reading=Reading('index-png', soften=0.02))),
            ('refiner', dict(refiner={**PAMR, 'iterations': 2})),
            ('classes', dict(classes=ClassList(['background', 'a', 'b', 'c']))),
            ('formats', dict(output_format='palette-png')),
            ('masks', dict(masks='other')),
            ('truth', dict(truth='other')),
        ],
    )
    def test_other_settings(self, tmp_path, name, change):
        task = make_task(tmp_path)
        make_task(tmp_path / 'other_root')
        change = {k: tmp_path / 'other_root' / 'masks' if v == 'other' else v for k, v in change.items()}
        refine_folder(task)
        before = contents(task.out)
        with pytest.raises(FileExistsError, match=rf'other settings \(.*{name}.*--overwrite'):
            refine_folder(replace(task, **change))
        assert contents(task.out) == before
        report = refine_folder(replace(task, **change), overwrite=True)
        assert len(report['images']) == 3
        assert contents(task.out) == contents_of_a_fresh_run(replace(task, **change), tmp_path / 'fresh')

    def test_what_did_nothing_holds_nothing(self, tmp_path):
        """Options that were refused at the first file, and classes that no file fits: the next settings are free."""
        task = make_task(tmp_path)
        with pytest.raises(ValueError, match='iterations'):
            refine_folder(replace(task, refiner={**PAMR, 'iterations': 0}))
        assert len(refine_folder(replace(task, classes=ClassList(['background', 'x'])))['errors']) == 3
        refine_folder(task)
        assert contents(task.out) == contents_of_a_fresh_run(task, tmp_path / 'fresh')

    def test_the_same_settings_in_another_order(self, tmp_path, monkeypatch):
        task = make_task(tmp_path)
        refine_folder(task)
        monkeypatch.setattr(folder_module, 'build_refiner', never)
        turned = {**dict(reversed(PAMR.items())), 'dilations': (1,)}
        assert len(refine_folder(replace(task, refiner=turned, device='cuda', threads=2))['images']) == 3

    def test_overwrite_starts_anew(self, tmp_path):
        task = make_task(tmp_path)
        refine_folder(task)
        before = contents(task.out)
        (task.out / 'image_0.png').write_bytes(b'damaged')
        refine_folder(task)
        assert contents(task.out)['image_0.png'] == b'damaged'
        refine_folder(task, overwrite=True)
        assert contents(task.out) == before

    @pytest.mark.parametrize('name', ['image_1.png', 'report.json'])
    def test_foreign_files(self, tmp_path, name):
        task = make_task(tmp_path)
        task.out.mkdir()
        (task.out / name).write_text('{}')
        with pytest.raises(FileExistsError, match='--overwrite'):
            refine_folder(task)
        assert contents(task.out) == {name: b'{}'}
        refine_folder(task, overwrite=True)
        assert contents(task.out) == contents_of_a_fresh_run(task, tmp_path / 'fresh')

    def test_other_files_are_left_alone(self, tmp_path):
        task = make_task(tmp_path)
        task.out.mkdir()
        (task.out / 'notes.txt').write_text('mine')
        refine_folder(task, overwrite=True)
        assert (task.out / 'notes.txt').read_text() == 'mine'
