"""Files of pyarrow's file systems: the local one, a part of it, and one in memory."""

import pickle
from pathlib import Path

import pytest

from mmseg_g4seg.io.atomic import atomic_file, atomic_write
from mmseg_g4seg.io.storage import StoredPath, existing, nested_paths, open_path, read_all, remove_tree

fs = pytest.importorskip('pyarrow.fs', reason='pyarrow is not installed')


def store(kind: str, folder: Path) -> StoredPath:
    """An empty folder of a file system."""
    if kind == 'mock':
        filesystem = fs._MockFileSystem()
        filesystem.create_dir('bucket')
        return StoredPath('bucket', filesystem, prefix='mock://')
    if kind == 'subtree':
        return StoredPath('', fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), prefix='part://') / 'bucket'
    return StoredPath(str(folder / 'bucket'), fs.LocalFileSystem())


@pytest.fixture(params=['local', 'subtree', 'mock'])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> StoredPath:
    folder = store(request.param, tmp_path)
    folder.mkdir()
    return folder


class TestStoredPath:
    def test_parts(self, bucket):
        path = bucket / 'images' / 'cat.1.png'
        assert (path.name, path.stem, path.suffix) == ('cat.1.png', 'cat.1', '.png')
        assert path.parent == bucket / 'images'
        assert bucket in path.parents
        assert str(path).endswith('bucket/images/cat.1.png')

    def test_a_file(self, bucket):
        path = bucket / 'a'
        assert not path.exists()
        path.write_bytes(b'one')
        path.write_bytes(b'two')
        assert path.read_text() == 'two'
        assert path.open().read() == b'two'
        assert (path.is_file(), path.is_dir(), bucket.is_dir()) == (True, False, True)
        path.unlink()
        path.unlink(missing_ok=True)
        with pytest.raises(FileNotFoundError):
            path.unlink()
        with pytest.raises(FileNotFoundError):
            path.read_bytes()

    def test_a_folder(self, bucket):
        (bucket / 'b').mkdir()
        for path in (bucket / 'a', bucket / 'b' / 'c'):
            path.write_bytes(path.name.encode())
        assert sorted(bucket.iterdir()) == [bucket / 'a', bucket / 'b']
        assert list(nested_paths(bucket)) == [bucket / 'b' / 'c']
        assert existing([bucket / 'a', bucket / 'x', bucket / 'y' / 'a']) == {bucket / 'a'}
        assert read_all([bucket / 'b' / 'c', bucket / 'a']) == [b'c', b'a']
        remove_tree(bucket / 'b')
        remove_tree(bucket / 'b')
        assert list(bucket.iterdir()) == [bucket / 'a']
        with pytest.raises(FileNotFoundError):
            list((bucket / 'b').iterdir())

    def test_a_file_is_whole_or_not_there(self, bucket):
        """An error while it is written leaves what was there, and nothing else."""
        path = bucket / 'a'
        atomic_write(path, 'old')

        def write() -> None:
            with atomic_file(path) as file:
                file.write(b'ne')
                raise RuntimeError('stop')

        with pytest.raises(RuntimeError, match='stop'):
            write()
        assert path.read_text() == 'old'
        assert list(bucket.iterdir()) == [path]

    def test_no_part_of_a_file_is_seen(self, bucket, monkeypatch):
        """What is killed before the move leaves a file of another name."""
        written: list[str] = []

        def write(_: StoredPath, path: str, __: bytes) -> None:
            written.append(path)
            raise KeyboardInterrupt

        monkeypatch.setattr(StoredPath, '_write', write)
        with pytest.raises(KeyboardInterrupt):
            (bucket / 'a').write_bytes(b'new')
        assert written[0].endswith('.partial')

    def test_travels(self, tmp_path):
        path = store('subtree', tmp_path) / 'a'
        path.parent.mkdir()
        path.write_bytes(b'there')
        copy = pickle.loads(pickle.dumps(path))
        assert copy == path
        assert copy.read_bytes() == b'there'


def test_an_object_appears_when_its_upload_is_complete(tmp_path):
    """No move, which would be a copy and a second upload."""

    class Bucket:
        type_name = 's3'

        def open_output_stream(self, path: str):
            return fs.LocalFileSystem().open_output_stream(str(tmp_path / Path(path).name))

    StoredPath('bucket/a', Bucket()).write_bytes(b'content')
    assert [path.name for path in tmp_path.iterdir()] == ['a']


class TestOpenPath:
    def test_local(self, tmp_path):
        assert open_path(str(tmp_path)) == tmp_path
        assert open_path(f'file://{tmp_path}') == open_path(f'file://localhost{tmp_path}') == tmp_path
        assert open_path('file:///a%20b') == Path('/a b')

    def test_a_store(self):
        path = open_path('s3://bucket/folder/?region=eu-west-1&endpoint_override=localhost:9000')
        assert (str(path), path.name) == ('s3://bucket/folder', 'folder')
        assert str(path / 'a.png') == 's3://bucket/folder/a.png'
        assert pickle.loads(pickle.dumps(path)).filesystem == path.filesystem

    def test_no_store(self):
        with pytest.raises(ValueError, match='nowhere'):
            open_path('nowhere://bucket')

    def test_an_empty_text_is_not_the_folder_where_one_stands(self):
        with pytest.raises(ValueError, match='expected a path, got an empty text'):
            open_path('')
