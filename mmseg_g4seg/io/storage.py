"""Files of object stores and other file systems: `s3://BUCKET/FOLDER` where a local folder could stand.

`StoredPath` has those methods of `pathlib.Path` that readers, writers and the folder host call; a file system is one of
pyarrow's, whose `FileSystem.from_uri` knows `s3://`, `gs://`, `abfs://` and `hdfs://`.
"""

import io
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlparse
from urllib.request import url2pathname
from uuid import uuid4

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

OBJECT_STORES = ('s3', 'gcs', 'abfs')
"""By pyarrow's names: there an object appears when its upload is complete, and a move is a copy."""
REQUESTS = 32
"""Files that are read from a store at a time: each takes tens of milliseconds, and hardly any work."""


class StoredPath:
    """A file or folder of a pyarrow file system, with methods as those of `Path`; it can be sent to other processes."""

    def __init__(self, path: str, filesystem: 'FileSystem', *, prefix: str = '') -> None:
        """Args:
        path: on the file system, with slashes.
        filesystem: of pyarrow.
        prefix: of the path in texts, such as `s3://`.
        """
        self.path, self.filesystem, self.prefix = path, filesystem, prefix

    def __str__(self) -> str:
        return self.prefix + self.path

    def __repr__(self) -> str:
        return f'StoredPath({str(self)!r})'

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredPath) and str(self) == str(other)

    def __lt__(self, other: 'StoredPath') -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> 'StoredPath':
        return self._at(f'{self.path}/{name}' if self.path else name)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        return PurePosixPath(self.path).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.path).suffix

    @property
    def parent(self) -> 'StoredPath':
        return self._at(str(PurePosixPath(self.path).parent))

    @property
    def parents(self) -> 'list[StoredPath]':
        return [self._at(str(parent)) for parent in PurePosixPath(self.path).parents]

    def resolve(self) -> 'StoredPath':
        return self

    def relative_to(self, folder: 'StoredPath') -> PurePosixPath:
        return PurePosixPath(self.path).relative_to(folder.path)

    def exists(self) -> bool:
        return self._kind() != 'NotFound'

    def is_file(self) -> bool:
        return self._kind() == 'File'

    def is_dir(self) -> bool:
        return self._kind() == 'Directory'

    def iterdir(self) -> 'Iterator[StoredPath]':
        return (self._at(info.path) for info in self._list(recursive=False))

    def nested(self) -> 'Iterator[StoredPath]':
        """All that is in folders of this one."""
        return (path for info in self._list(recursive=True) if (path := self._at(info.path)).parent != self)

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        # a folder of an object store is nothing but the beginning of names
        if not self._is_object_store():
            self.filesystem.create_dir(self.path, recursive=True)

    def open(self, mode: str = 'rb') -> IO[bytes]:
        """The whole file in memory: decoders seek, and each would ask the store again."""
        return io.BytesIO(self.read_bytes())

    def read_bytes(self) -> bytes:
        with self.filesystem.open_input_stream(self.path) as stream:
            return bytes(stream.read())

    def read_text(self) -> str:
        return self.read_bytes().decode()

    def write_bytes(self, content: bytes) -> None:
        """Writes a file that appears whole or not at all."""
        if self._is_object_store():
            self._write(self.path, content)
            return
        partial = (self.parent / f'.{uuid4().hex}.partial').path
        self._write(partial, content)
        self.filesystem.move(partial, self.path)

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            self.filesystem.delete_file(self.path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_tree(self) -> None:
        """Removes a folder with all that is in it, if it is there."""
        with suppress(FileNotFoundError):
            self.filesystem.delete_dir(self.path)

    def _at(self, path: str) -> 'StoredPath':
        return StoredPath(path, self.filesystem, prefix=self.prefix)

    def _kind(self) -> str:
        return str(self.filesystem.get_file_info(self.path).type.name)

    def _list(self, *, recursive: bool) -> 'list[FileInfo]':
        from pyarrow.fs import FileSelector

        return list(self.filesystem.get_file_info(FileSelector(self.path, recursive=recursive)))

    def _is_object_store(self) -> bool:
        base: Any = self.filesystem
        while hasattr(base, 'base_fs'):  # of a part of another file system
            base = base.base_fs
        return base.type_name in OBJECT_STORES

    def _write(self, path: str, content: bytes) -> None:
        with self.filesystem.open_output_stream(path) as stream:
            stream.write(content)


AnyPath = Path | StoredPath


def open_path(text: str) -> AnyPath:
    """The path that a user names: of this machine, or `s3://…`, `gs://…` of an object store.

    Raises:
        ImportError: if a store is named, and pyarrow is missing.
        ValueError: if there is no such kind of store, or no path.
        OSError: if it cannot be reached.
    """
    if not text:  # a shell's variable that is not set; Path makes it the folder where the user stands
        raise ValueError('expected a path, got an empty text')
    scheme, separator, _ = text.partition('://')
    if not separator:
        return Path(text)
    if scheme == 'file':  # file:///a%20b, file://localhost/a
        return Path(url2pathname(urlparse(text).path))
    try:
        from pyarrow.fs import FileSystem
    except ImportError as error:
        raise ImportError(f'{text}: object stores need pyarrow: pip install "mmseg_g4seg[ray]"') from error
    # options behind a question mark, such as an endpoint or keys, are the file system's and stand in no message
    filesystem, path = FileSystem.from_uri(text)
    return StoredPath(path.rstrip('/'), filesystem, prefix=f'{scheme}://')


def readable(path: AnyPath) -> Path | IO[bytes]:
    """What a library opens that takes a path of this machine, or a file."""
    return path if isinstance(path, Path) else path.open()


def existing(paths: Iterable[AnyPath]) -> set[AnyPath]:
    """Those of the paths that are there, by one look into each folder: a store would be asked once a file."""
    paths = list(paths)
    folders = {path.parent for path in paths}
    there = {path for folder in folders if folder.is_dir() for path in folder.iterdir()}
    return {path for path in paths if path in there}


def read_all(paths: Iterable[AnyPath]) -> list[bytes]:
    """The contents of many small files."""
    paths = list(paths)
    if not any(isinstance(path, StoredPath) for path in paths):
        return [path.read_bytes() for path in paths]
    with ThreadPoolExecutor(REQUESTS) as pool:
        return list(pool.map(lambda path: path.read_bytes(), paths))


def nested_paths(folder: AnyPath) -> Iterator[AnyPath]:
    """All that is in folders of a folder."""
    return folder.nested() if isinstance(folder, StoredPath) else folder.glob('*/**/*')


def remove_tree(folder: AnyPath) -> None:
    """Removes a folder with all that is in it, if it is there."""
    if isinstance(folder, StoredPath):
        folder.remove_tree()
    else:
        shutil.rmtree(folder, ignore_errors=True)
