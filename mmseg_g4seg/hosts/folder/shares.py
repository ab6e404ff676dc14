"""Spreads the jobs of a run: in this process, in several that it starts, or under torchrun.

What there is to do is found once, in the first process; the others are sent their share of the jobs and a worker.
"""

import os
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from tqdm import tqdm

from mmseg_g4seg.io.processes import end_with_parent, process_context
from mmseg_g4seg.io.storage import AnyPath

from .lock import only_run
from .run_state import FileJob, RunState

PATIENCE = timedelta(days=30)
"""How long the first process waits for the shares of the others."""


class Worker(ABC):
    """Does jobs, one a call. In another process, which it can be sent to, it builds its models anew."""

    def __init__(self, task: Any, state: RunState) -> None:
        """Args:
        task: what to do, a dataclass with a `device`.
        state: begun; takes results and errors.
        """
        self.task, self.state = task, state

    def __reduce__(self) -> tuple:
        return type(self), (self.task, self.state)

    @abstractmethod
    def __call__(self, job: Any) -> Exception | None:
        """Writes the results of a job and its record; or notes the file that is at fault, and returns that."""


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes:
        worker: that does it.
        jobs: all of them, those that are done already, too.
        finish: called in the first process when all are done; returns the report.
    """

    worker: Worker
    jobs: Sequence[FileJob]
    finish: Callable[[], dict[str, Any]]


def spread(
    out: AnyPath, begin: Callable[[], Work], *, workers: int = 1, strict: bool = False, title: str, unit: str
) -> dict[str, Any]:
    """Does all jobs of a run that are not done yet.

    Under torchrun every process takes a share, on its own GPU where there are several.

    Args:
        out: folder of the results.
        begin: finds the work; called once, in the first process, while no other run is in the folder.
        workers: processes to start; not under torchrun.
        strict: stop at the first error.
        title: of the progress bar.
        unit: of its count.

    Returns:
        The report, in the first process; in the others an empty one.

    Raises:
        FileExistsError: if another run is at work in the folder.
        RuntimeError: if a process ended before its share did.
    """
    if workers < 1:
        raise ValueError(f'workers: expected at least 1, got {workers}')
    if under_torchrun():
        return _under_torchrun(out, begin, strict=strict, title=title, unit=unit)
    with only_run(out):
        work = begin()
        jobs = work.worker.state.remaining(work.jobs)
        with tqdm(total=len(work.jobs), initial=len(work.jobs) - len(jobs), desc=title, unit=unit) as bar:
            if workers == 1:
                take_share(work.worker, jobs, strict=strict, each=bar.update)
            else:
                _in_workers(work.worker, [jobs[i::workers] for i in range(workers)], strict, bar)
        return work.finish()


def under_torchrun() -> bool:
    """Whether this process is one of several that torchrun has started."""
    return 'RANK' in os.environ and int(os.environ.get('WORLD_SIZE', 1)) > 1


def take_share(
    worker: Worker, jobs: Sequence[FileJob], *, strict: bool = False, each: Callable[[], Any] = lambda: None
) -> None:
    """Does some of the jobs.

    Args:
        worker: of this process.
        jobs: its share.
        strict: stop at the first error.
        each: called after every job.

    Raises:
        Exception: that the worker returns, if the run is strict.
    """
    for job in jobs:
        error = worker(job)
        if error is not None and strict:
            raise error
        each()


@contextmanager
def fixed_threads(count: int) -> Iterator[None]:
    """Fixes the number of torch's threads, which sums of floats depend on."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _in_workers(worker: Worker, shares: list[list[FileJob]], strict: bool, bar: tqdm) -> None:
    """Does every share in a process of its own."""
    context = process_context(type(worker).__module__)
    processes = [context.Process(target=_work, args=(worker, share, strict)) for share in shares]
    counted = worker.state.count() - bar.n  # of a run that was cut off
    try:
        with _deaf_to_interrupts():
            for process in processes:
                process.start()
        while any(process.is_alive() for process in processes) and not any(process.exitcode for process in processes):
            time.sleep(0.2)
            bar.update(worker.state.count() - counted - bar.n)
    finally:
        failed = [process.exitcode for process in processes if process.exitcode]
        for process in processes:  # which have ended, but for a failure or an interrupt
            if process.pid is not None:
                process.terminate()
                process.join()
    if failed:
        raise RuntimeError(f'a worker ended with exit code {failed[0]} before its share was done; see its error above')


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Lets processes that start here pay no heed to Ctrl-C, which a terminal sends to all: this one ends them.

    Each would print a traceback, also of its imports.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone may set what a signal does
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _work(worker: Worker, jobs: list[FileJob], strict: bool) -> None:
    """A process's whole life: its share, and not a moment longer than its parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server of processes may have been started earlier, and hear it
    end_with_parent()
    try:
        take_share(worker, jobs, strict=strict)
    except (OSError, ValueError, RuntimeError, ArithmeticError, ImportError) as error:
        sys.exit(f'error: {error}')


def _under_torchrun(out: AnyPath, begin: Callable[[], Work], *, strict: bool, title: str, unit: str) -> dict[str, Any]:
    """Does this process's share; the first process hands them out, and waits for all of them."""
    dist.init_process_group('gloo', timeout=PATIENCE)
    rank, world = dist.get_rank(), dist.get_world_size()
    work, shares = None, None
    mine: list[Any] = [None]
    held = ExitStack()
    try:
        if rank == 0:
            held.enter_context(only_run(out))
            work = begin()
            jobs = work.worker.state.remaining(work.jobs)
            shares = [(work.worker, jobs[i::world]) for i in range(world)]
        # the others wait here until the folder is open
        dist.scatter_object_list(mine, shares)
        worker, jobs = mine[0]
        if worker.task.device == 'cuda':  # 'cuda:1' is one GPU by wish
            worker = type(worker)(replace(worker.task, device=f'cuda:{os.environ.get("LOCAL_RANK", 0)}'), worker.state)
        with tqdm(total=len(jobs), desc=f'{title}, process {rank}', unit=unit, disable=rank > 0) as bar:
            take_share(worker, jobs, strict=strict, each=bar.update)
        dist.barrier()
        return {} if work is None else work.finish()
    finally:
        held.close()
        dist.destroy_process_group()
