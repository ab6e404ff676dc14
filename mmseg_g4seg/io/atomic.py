"""Files that appear whole or not at all."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from uuid import uuid4

from .storage import AnyPath, StoredPath


@contextmanager
def atomic_file(path: AnyPath, *, scratch: AnyPath | None = None) -> Iterator[IO[bytes]]:
    """Opens a file so that no reader, and no kill, ever sees a part of it; an error leaves what was there.

    Args:
        path: of the file; one that is there is replaced when the block ends.
        scratch: folder on the same file system for the unfinished file; beside it when not given.
    """
    if isinstance(path, StoredPath):
        buffer = io.BytesIO()
        yield buffer
        path.write_bytes(buffer.getvalue())
        return
    folder = path.parent if scratch is None else scratch
    assert not isinstance(folder, StoredPath), 'of the same file system'
    if not folder.is_dir():  # the error of the unfinished file would name that one
        raise FileNotFoundError(f'{path}: there is no folder {folder}')
    # a short name of its own: the file's may be as long as names can be, and another machine's process have this number
    partial = folder / f'.{uuid4().hex}.partial'
    try:
        with partial.open('wb') as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def atomic_write(path: AnyPath, content: str | bytes, *, scratch: AnyPath | None = None) -> None:
    """Writes text (UTF-8) or bytes as `atomic_file` does; arguments as there."""
    with atomic_file(path, scratch=scratch) as file:
        file.write(content.encode(errors='backslashreplace') if isinstance(content, str) else content)
