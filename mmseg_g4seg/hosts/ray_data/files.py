"""Jobs of a folder host as rows of a dataset, and the operators that do them."""

import pickle
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import ray
from ray.data import Dataset
from tqdm import tqdm

from mmseg_g4seg.hosts.folder.run_state import FileJob
from mmseg_g4seg.hosts.folder.shares import Worker

from .attempts import Attempts
from .pipeline import Resources
from .rows import Row, RowOperator, Setting

MOST_BLOCKS = 10_000
"""Of a run's list of jobs: Ray keeps a few kilobytes of each."""


class FileOperator(RowOperator):
    """Has a folder host's worker, which travels without its models."""

    def __init__(self, setting: Setting, attempts: Attempts, *, worker: Worker) -> None:
        super().__init__(setting, attempts)
        self.worker = worker


def resources_of(device: str, *, workers: int, batch_size: int) -> Resources:
    """What a folder host's run takes: with the device `cuda` each worker has a GPU.

    Raises:
        ValueError: if the device is one of several by number, or a number is out of range.
    """
    if device not in ('cpu', 'cuda'):
        raise ValueError(f"device: expected 'cpu' or 'cuda', of which each worker gets its own, got {device!r}")
    return Resources(batch_size=batch_size, num_gpus=float(device == 'cuda'), concurrency=workers)


def dataset_of(jobs: Sequence[FileJob], batch_size: int) -> Dataset:
    """Rows of `key`, the job's name, and `job`, pickled, cut into tasks."""
    rows = [{'key': job.name, 'job': pickle.dumps(job)} for job in jobs]
    return ray.data.from_items(rows, override_num_blocks=min(-(-len(jobs) // batch_size), MOST_BLOCKS))


def results_of(dataset: Dataset, total: int, unit: str) -> Iterator[Row]:
    """Runs a dataset of `total` rows; what a process of the cluster raised comes without Ray's own words around it.

    Ray shows its progress in a terminal alone; a log file has a line of tqdm's.
    """
    rows = dataset.iter_rows()
    try:
        yield from tqdm(rows, desc='Ray', total=total, unit=unit, disable=sys.stderr.isatty(), mininterval=10)
    except ray.exceptions.RayError as error:
        raise cause_of(error) from error


def cause_of(error: BaseException) -> Exception:
    """What a process of the cluster raised."""
    cause: Any = getattr(error, 'cause', None)
    if isinstance(cause, Exception):
        return cause
    # of an actor that could not be started there is a text alone: the traceback, whose last line says why
    return RuntimeError((str(error).strip().splitlines() or [type(error).__name__])[-1])
