"""Runs a conversion over many files: resumable, whole files only, failures listed at the end.

Shapes: H W image size; label maps (H, W) uint8.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.images import open_whole
from mmseg_g4seg.io.label_files import png_bytes
from mmseg_g4seg.io.processes import process_context


@dataclass(frozen=True)
class Job:
    """One label map to make.

    Attributes:
        source: what the conversion takes, of any kind that can be pickled.
        target: PNG that it becomes.
        name: of the source, for messages.
    """

    source: Any
    target: Path
    name: str


@dataclass
class Summary:
    """What a run did.

    Attributes:
        written: files written.
        skipped: files that were there, whole.
        failures: (name, reason) of each file that could not be converted.
        pixels: (256,) int64, pixels of each id in all files, written or skipped.
    """

    written: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))

    def add(self, other: 'Summary') -> None:
        self.written += other.written
        self.skipped += other.skipped
        self.failures += other.failures
        self.pixels += other.pixels


Convert = Callable[[Any], np.ndarray]
"""A job's source to its label map, (H, W) uint8; raises ValueError or OSError where it cannot."""


def run_jobs(
    jobs: Sequence[Job], convert: Convert, *, description: str, workers: int = 1, overwrite: bool = False
) -> Summary:
    """Converts files; what is there already, whole, is left.

    Args:
        jobs: one a file.
        convert: the conversion; a function of a module where there is more than one worker.
        description: for the progress bar.
        workers: processes.
        overwrite: convert anew what is there.

    Raises:
        ValueError: if there is nothing to do, or two jobs have one target.
    """
    if not jobs:
        raise ValueError(f'{description}: found no files to convert')
    if workers < 1:
        raise ValueError(f'workers: expected at least 1, got {workers}')
    if len({job.target for job in jobs}) < len(jobs):
        raise ValueError(f'{description}: several files would be written to the same path')
    for folder in {job.target.parent for job in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    total = Summary()
    pool = ProcessPoolExecutor(workers, mp_context=process_context(__name__)) if workers > 1 else nullcontext()
    with pool as executor:
        run = partial(_run_job, convert=convert, overwrite=overwrite)
        outcomes = executor.map(run, jobs, chunksize=8) if executor else map(run, jobs)
        for outcome in tqdm(outcomes, description, total=len(jobs), unit='file'):
            total.add(outcome)
    return total


def _run_job(job: Job, *, convert: Convert, overwrite: bool) -> Summary:
    found = None if overwrite else _read_whole(job.target)
    if found is not None:
        return Summary(skipped=1, pixels=count_ids(found))
    try:
        label_map = convert(job.source)
        atomic_write(job.target, png_bytes(Image.fromarray(label_map)))
    except (OSError, ValueError) as error:
        return Summary(failures=[(job.name, str(error))])
    return Summary(written=1, pixels=count_ids(label_map))


def _read_whole(path: Path) -> np.ndarray | None:
    """A label map that an earlier run wrote; None where there is none, or it is damaged."""
    try:
        image = open_whole(path)
    except (OSError, ValueError):
        return None
    return np.asarray(image) if image.mode == 'L' else None


def count_ids(label_map: np.ndarray) -> np.ndarray:
    """Pixels of each id: (H, W) uint8 -> (256,) int64."""
    return np.bincount(label_map.ravel(), minlength=256).astype(np.int64)


def summary_text(summary: Summary, class_names: Sequence[str]) -> str:
    """What was done, each id's share of pixels, and the failures, one a line."""
    total = max(1, int(summary.pixels.sum()))
    lines = [
        f'  {i:3d} {class_names[i] if i < len(class_names) else "ignored":<16} {100 * summary.pixels[i] / total:6.2f} %'
        for i in np.flatnonzero(summary.pixels).tolist()
    ]
    counts = f'{summary.written} written, {summary.skipped} already there, {len(summary.failures)} failed'
    return '\n'.join([counts, *lines, *_failure_lines(summary.failures)])


def _failure_lines(failures: Iterable[tuple[str, str]]) -> list[str]:
    return [f'failed: {name}: {reason}' for name, reason in failures]
