"""Files that appear whole or not at all."""

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes, *, scratch: Path | None = None) -> None:
    """Writes a file so that no reader, and no kill, ever sees a part of it.

    Args:
        path: of the file; one that is there is replaced.
        content: text (UTF-8) or bytes.
        scratch: folder on the same file system for the unfinished file; beside it when not given.
    """
    partial = (scratch or path.parent) / f'.{path.name}.{os.getpid()}.partial'
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
