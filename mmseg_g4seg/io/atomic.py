"""Files that appear whole or not at all."""

import os
import zlib
from pathlib import Path


def atomic_write(path: Path, content: str | bytes, *, scratch: Path | None = None) -> None:
    """Writes a file so that no reader, and no kill, ever sees a part of it.

    Args:
        path: of the file; one that is there is replaced.
        content: text (UTF-8) or bytes.
        scratch: folder on the same file system for the unfinished file; beside it when not given.
    """
    # a short name of its own: the file's may be as long as names can be
    partial = (scratch or path.parent) / f'.{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}.partial'
    try:
        partial.write_bytes(content.encode(errors='backslashreplace') if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
