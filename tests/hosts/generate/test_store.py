"""A data set in an object store, which a part of the local file system stands for."""

import pytest

from mmseg_g4seg.hosts.generate.run import generate_folder
from mmseg_g4seg.hosts.generate.task import GenerateTask
from mmseg_g4seg.io.storage import StoredPath
from mmseg_g4seg.prediction import ClassList
from tests.hosts.folder.conftest import contents

fs = pytest.importorskip('pyarrow.fs', reason='pyarrow is not installed')


def test_files_are_those_of_a_local_folder(tmp_path):
    (tmp_path / 'bucket').mkdir()
    store = StoredPath('', fs.SubTreeFileSystem(str(tmp_path / 'bucket'), fs.LocalFileSystem()), prefix='store://')
    source = dict(type='SeeDiff', prior='tiny', image_size=32)
    given = dict(classes=ClassList(['background', 'fish']), source=source, options=dict(steps=1))
    generate_folder(GenerateTask(tmp_path / 'out', count=2, **given))
    generate_folder(GenerateTask(store / 'out', count=1, **given))
    generate_folder(GenerateTask(store / 'out', count=2, **given))
    assert contents(tmp_path / 'bucket/out') == contents(tmp_path / 'out')
    with pytest.raises(FileExistsError, match=r'store://out/images/000001\.png and 2 files more'):
        generate_folder(GenerateTask(store / 'out', count=1, **given))
