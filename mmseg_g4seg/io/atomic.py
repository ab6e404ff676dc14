"""Files that appear whole or not at all."""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_file(path: Path, *, scratch: Path | None = None) -> Iterator[IO[bytes]]:
    """Opens a file so that no reader, and no kill, ever sees a part of it; an error leaves what was there.

    Args:
        path: of the file; one that is there is replaced when the block ends.
        scratch: folder on the same file system for the unfinished file; beside it when not given.
    """
    # a short name of its own: the file's may be as long as names can be
    partial = (scratch or path.parent) / f'.{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.partial'
    try:
        with partial.open('wb') as file:
            yield file
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def atomic_write(path: Path, content: str | bytes, *, scratch: Path | None = None) -> None:
    """Writes text (UTF-8) or bytes as `atomic_file` does; arguments as there."""
    with atomic_file(path, scratch=scratch) as file:
        file.write(content.encode(errors='backslashreplace') if isinstance(content, str) else content)
