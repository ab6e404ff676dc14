"""Folders of object stores, which file systems in memory and parts of the local one stand for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmseg_g4seg.hosts.folder import shares
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.io.storage import StoredPath
from tests.hosts.folder.conftest import make_task, write_pair
from tests.hosts.folder.timeless import timeless

fs = pytest.importorskip('pyarrow.fs', reason='pyarrow is not installed')


def outcome(report: dict[str, Any], out: Any) -> dict[str, Any]:
    """What does not name a folder."""
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.suffix == '.png'}
    errors = [(Path(error['path']).name, error['error']) for error in report['errors']]
    images = [timeless(image) for image in report['images']]
    return {**files, 'images': images, 'errors': errors, 'nested': report['nested_masks']}


@pytest.fixture(params=['mock', 'subtree'])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[FolderTask], FolderTask]:
    """Brings the folders of a task into a store."""

    def bring(task: FolderTask) -> FolderTask:
        filesystem = fs._MockFileSystem()
        if request.param == 'subtree':
            (tmp_path / 'store').mkdir()
            filesystem = fs.SubTreeFileSystem(str(tmp_path / 'store'), fs.LocalFileSystem())
        base = StoredPath('bucket', filesystem, prefix='store://')
        for folder in (task.images, task.masks):
            for path in Path(str(folder)).rglob('*'):
                if path.is_file():
                    copy = base / str(path.relative_to(tmp_path))
                    filesystem.create_dir(copy.parent.path, recursive=True)
                    copy.write_bytes(path.read_bytes())
        truth = base / 'masks' if task.truth else None
        return replace(task, images=base / 'images', masks=base / 'masks', out=base / 'out', truth=truth)

    return bring


@pytest.mark.parametrize('measured', [True, False])
def test_the_outcome_is_that_of_local_folders(tmp_path, stored, measured):
    """With a mask that is damaged, one in a folder of its own, and labels to measure against."""
    task = make_task(tmp_path)
    mask = write_pair(tmp_path, 'broken', 'index-png')[1]
    mask.write_bytes(mask.read_bytes()[:60])
    (task.masks / 'more').mkdir()
    (task.masks / 'more' / 'a.png').write_bytes(b'')
    task = replace(task, truth=task.masks if measured else None)
    remote = stored(task)
    report = refine_folder(remote)
    assert outcome(report, remote.out) == outcome(refine_folder(task), task.out)
    assert [error['path'] for error in report['errors']] == ['store://bucket/masks/broken.png']
    files = sorted(path.name for path in remote.out.iterdir())
    expected = sorted(path.name for path in task.out.iterdir())
    assert files == expected


def test_a_run_goes_on(stored, tmp_path, monkeypatch):
    task = stored(make_task(tmp_path))
    begun: list[str] = []
    take_share = shares.take_share

    def cut_off(worker: Any, jobs: Any, **options: Any) -> None:
        begun.extend(job.name for job in jobs)
        take_share(worker, jobs[:2], **options)
        if len(jobs) > 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(shares, 'take_share', cut_off)
    with pytest.raises(KeyboardInterrupt):
        refine_folder(task)
    assert not (task.out / 'report.json').exists()
    assert len(refine_folder(task)['images']) == 3
    assert begun == ['image_0', 'image_1', 'image_2', 'image_2']
    with pytest.raises(FileExistsError, match=r'store://bucket/out holds results of other settings \(soften\)'):
        refine_folder(replace(task, reading=replace(task.reading, soften=0.5)))
    with pytest.raises(KeyboardInterrupt):
        refine_folder(task, overwrite=True)
    assert begun[4:] == ['image_0', 'image_1', 'image_2']


def test_fiftyone_reads_local_images(stored, tmp_path):
    task = stored(make_task(tmp_path, count=1))
    with pytest.raises(ValueError, match='fiftyone: expected a local folder of images'):
        replace(task, truth=task.masks, fiftyone=tmp_path / 'fiftyone')


def test_masks_or_a_source(tmp_path):
    task = make_task(tmp_path, count=1)
    for wrong in (dict(coarse=dict(type='SeeDiff')), dict(masks=None)):
        with pytest.raises(ValueError, match='masks: expected either a folder of masks, or a source'):
            replace(task, **wrong)
