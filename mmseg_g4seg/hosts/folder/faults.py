"""What is wrong with a file, which ends no run."""

from collections.abc import Iterator
from contextlib import contextmanager

from mmseg_g4seg.io.storage import AnyPath


class BadFile(ValueError):
    """A file that could not be used: which, and why."""

    def __init__(self, path: AnyPath | str, reason: str) -> None:
        super().__init__(path, reason)  # both, or it could not come back from another process
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f'{self.path}: {self.reason}'


@contextmanager
def at_fault(path: AnyPath) -> Iterator[None]:
    """Blames a file for whatever goes wrong."""
    try:
        yield
    except ImportError:  # the environment's fault, and so every file's
        raise
    except Exception as error:
        raise BadFile(path, f'{type(error).__name__}: {error}') from error
