"""One run at a time in a folder of results."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mmseg_g4seg.io.storage import AnyPath, StoredPath

NAME = '.refine_masks.lock'


@contextmanager
def only_run(out: AnyPath) -> Iterator[None]:
    """Keeps other runs out of a folder, which is made if need be, until this one ends, however it ends.

    The system lets go of the lock of a process that was killed, so that the next run can go on; a file that says
    'busy' would stay. An object store has no locks: there nothing keeps a second run out.

    Raises:
        FileExistsError: if another run is at work there; names its process, machine and start.
    """
    if isinstance(out, StoredPath):  # object stores know no locks
        yield
        return
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(out) as file:
            file.truncate(0)
            file.write(f'process {os.getpid()} on {socket.gethostname()}, started {time.strftime("%Y-%m-%d %H:%M:%S")}')
            file.flush()
            try:
                yield
            finally:
                (out / NAME).unlink(missing_ok=True)
    finally:
        if made:
            with suppress(OSError):  # it has results, unless nothing could be begun
                out.rmdir()


def _locked(out: Path) -> IO[str]:
    """The lock file, open and held."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return (out / NAME).open('a+')
    while True:
        file = (out / NAME).open('a+')
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            other = file.read()
            file.close()
            raise FileExistsError(
                f'{out}: another run is at work there ({other}); wait for its end, or choose another folder'
            ) from error
        except OSError:  # a file system without locks
            return file
        # a run that has just ended may have removed this file after it was opened here: a third could lock a new one
        with suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == (out / NAME).stat().st_ino:
                return file
        file.close()
