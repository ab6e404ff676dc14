"""Measures what spreading a folder over processes costs: a refiner that sleeps, so that all else is the host's.

    python -m projects.benchmark.scaling one workers:2 workers:8 torchrun:2 torchrun:8 ray:1 ray:2 ray:8

Images a second are counted from the moment when every process is at work to the moment when the first has no more, so
that neither start nor end counts; both are in `wall`. Between two images a process reads, writes and counts, or under
Ray leaves that to others. A task has eight images; its overhead is what lies between two tasks beyond that.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.io.formats import Reading
from mmseg_g4seg.prediction import ClassList
from projects.benchmark import fixed_cost  # noqa: F401  its refiner is named by the task

TASK = 8
"""Images a task."""
MODES = ('one', 'workers', 'torchrun', 'ray')

Spans = list[tuple[float, float]]
"""When each image of a process began and ended, in order."""


@dataclass(frozen=True)
class Scaling:
    """Attributes:
    images_per_second: of all processes together.
    image_ms: between two images of a task, in a process.
    task_ms: between two tasks, beyond that.
    wall: seconds from the command to its end.
    """

    images_per_second: float
    image_ms: float
    task_ms: float
    wall: float


def steady_state(processes: Sequence[Spans], wall: float = 0.0) -> Scaling:
    """Figures of the time in which all processes are at work.

    Args:
        processes: their images, from the first of a task on.
        wall: of the whole run.

    Raises:
        ValueError: if that time has no two tasks of a process: too few images.
    """
    start, end = max(own[0][0] for own in processes), min(own[-1][0] for own in processes)
    rate = 0.0
    within: list[float] = []
    between: list[float] = []
    for own in processes:
        begun = [i for i, (began, _) in enumerate(own) if start <= began <= end]
        if len(begun) < TASK + 1:
            raise ValueError(f'expected {TASK + 1} images of every process while all are at work, got {len(begun)}')
        # from a beginning to a beginning: what lies between two images counts
        rate += (len(begun) - 1) / (own[begun[-1]][0] - own[begun[0]][0])
        for i in begun[1:]:
            (within if i % TASK else between).append(own[i][0] - own[i - 1][1])
    return Scaling(rate, 1000 * fmean(within), 1000 * (fmean(between) - fmean(within)), wall)


def write_folder(root: Path, count: int) -> None:
    """Writes `count` images of 8 x 8 pixels and their masks."""
    for folder, mode in (('images', 'RGB'), ('masks', 'L')):
        (root / folder).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(np.zeros((8, 8, 3) if mode == 'RGB' else (8, 8), np.uint8)).save(root / folder / f'{i}.png')
    (root / 'log').mkdir()


def make_task(root: Path, seconds: float) -> FolderTask:
    """The task of a folder of `write_folder`."""
    refiner = dict(type='FixedCost', seconds=seconds, log=str(root / 'log'))
    folders = (root / 'images', root / 'masks', root / 'out')
    return FolderTask(*folders, refiner, ClassList(['background', 'thing']), Reading('index-png'))


def run_here(mode: str, processes: int, root: Path, seconds: float) -> None:
    """Refines the folder by one of `MODES`; under torchrun, by this process's share."""
    task = make_task(root, seconds)
    if mode == 'ray':
        from mmseg_g4seg.hosts.ray_data.folder import refine_folder_on_cluster

        refine_folder_on_cluster(task, workers=processes, batch_size=TASK)
    else:
        refine_folder(task, workers=processes if mode == 'workers' else 1)


def measure(mode: str, processes: int, *, seconds: float, images: int) -> Scaling:
    """Runs a folder of `images` images a process in a command of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_folder(root, images * processes)
        launcher = ['-m', 'torch.distributed.run', '--nproc-per-node', str(processes)] if mode == 'torchrun' else []
        own = ['-m', 'projects.benchmark.scaling', f'{mode}:{processes}', '--seconds', str(seconds), '--root', folder]
        start = time.time()
        # kept from the terminal: progress bars; shown where a run fails
        result = subprocess.run([sys.executable, *launcher, *own], stderr=subprocess.PIPE, text=True, check=False)
        wall = time.time() - start
        if result.returncode:
            raise RuntimeError(f'{mode}:{processes} ended with exit code {result.returncode}: {result.stderr[-2000:]}')
        logs = [path.read_text().split() for path in sorted((root / 'log').iterdir())]
        if len(logs) != processes:
            raise RuntimeError(f'{mode}: expected images in {processes} processes, got them in {len(logs)}')
        spans = [list(zip(map(float, log[::2]), map(float, log[1::2]), strict=True)) for log in logs]
        return steady_state(spans, wall)


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', metavar='MODE[:PROCESSES]', help=f'modes are {", ".join(MODES)}')
    parser.add_argument('--seconds', type=float, default=0.25, help='that the refiner sleeps an image')
    parser.add_argument('--images', type=int, default=40, help='a process')
    parser.add_argument('--json', type=Path, help='file for the figures')
    parser.add_argument('--root', type=Path, help=argparse.SUPPRESS)  # a command of its own refines it
    args = parser.parse_args(arguments)
    args.runs = [(run.partition(':')[0], int(run.partition(':')[2] or 1)) for run in args.runs]
    unknown = [mode for mode, _ in args.runs if mode not in MODES]
    if unknown:
        parser.error(f'expected one of {", ".join(MODES)}, got {unknown[0]}')
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    if args.root is not None:
        mode, processes = args.runs[0]
        run_here(mode, processes, args.root, args.seconds)
        return
    found: dict[str, Scaling] = {}
    first: Scaling | None = None
    print(f'{args.seconds} s an image, {args.images} images a process')
    for mode, processes in args.runs:
        figures = found[f'{mode}:{processes}'] = measure(mode, processes, seconds=args.seconds, images=args.images)
        first = first or figures
        ratio = figures.images_per_second / first.images_per_second
        rate = f'{figures.images_per_second:.2f} images a second ({ratio:.2f} x the first)'
        print(
            f'{mode}:{processes}',
            rate,
            f'{figures.image_ms:.1f} ms an image',
            f'{figures.task_ms:.1f} ms a task',
            f'{figures.wall:.0f} s in all',
            sep='  ',
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({name: vars(figures) for name, figures in found.items()}, indent=1))


if __name__ == '__main__':
    main()
