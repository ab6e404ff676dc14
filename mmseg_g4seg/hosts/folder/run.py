"""Runs over a folder: in this process, in several that it starts, or under torchrun.

Plan and state are made once, here; other processes are sent their share of the jobs and a worker.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from typing import Any

import torch.distributed as dist
from tqdm import tqdm

from mmseg_g4seg.io.atomic import atomic_write

from .lock import only_run
from .page import export_fiftyone, write_run_page
from .plan import Job, Plan, make_plan
from .refine import MaskWorker
from .report import evaluate, make_table, read_records, summarise
from .run_state import RunState
from .task import FolderTask

PATIENCE = timedelta(days=30)
"""How long the first process waits for the shares of the others."""


def refine_folder(
    task: FolderTask, *, workers: int = 1, strict: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Refines a folder of masks; called again after a kill it goes on.

    Under torchrun every process takes a share, on its own GPU where there are several, and the first
    one writes the report.

    Args:
        task: what to do.
        workers: processes to start; not under torchrun.
        strict: stop at the first error.
        overwrite: start anew.

    Returns:
        The report, as in `OUT/report.json`, in the first process; in the others an empty one.

    Raises:
        FileExistsError: if the folder holds something else, see `RunState.begin`, or another run is at work there.
        BadFile: if the run is strict and something is wrong with a file.
        RuntimeError: if a worker ended before its share did.
    """
    if workers < 1:
        raise ValueError(f'workers: expected at least 1, got {workers}')
    if 'RANK' in os.environ and int(os.environ.get('WORLD_SIZE', 1)) > 1:
        return _under_torchrun(task, strict, overwrite)
    with only_run(task.out):
        plan, state = begin(task, overwrite=overwrite)
        jobs, worker = state.remaining(plan.jobs), MaskWorker(task, state)
        with tqdm(total=len(plan.jobs), initial=len(plan.jobs) - len(jobs), desc='refining', unit='mask') as bar:
            if workers == 1:
                take_share(worker, jobs, strict=strict, each=bar.update)
            else:
                _in_workers(worker, [jobs[i::workers] for i in range(workers)], strict, bar)
        return finish(task, plan, state)


def begin(task: FolderTask, *, overwrite: bool = False) -> tuple[Plan, RunState]:
    """Lists the work and opens the folder of results; once a run, inside `only_run`, before any share of it starts."""
    plan = make_plan(task)
    task.out.mkdir(parents=True, exist_ok=True)
    state = RunState(task.out, task.settings())
    state.begin([job.result for job in plan.jobs], overwrite=overwrite)
    return plan, state


def take_share(
    worker: MaskWorker, jobs: list[Job], *, strict: bool = False, each: Callable[[], Any] = lambda: None
) -> None:
    """Does some of the jobs.

    Args:
        worker: of this process.
        jobs: its share.
        strict: stop at the first error.
        each: called after every job.

    Raises:
        BadFile: if the run is strict and something is wrong with a file.
    """
    for job in jobs:
        error = worker(job)
        if error is not None and strict:
            raise error
        each()


def finish(task: FolderTask, plan: Plan, state: RunState) -> dict[str, Any]:
    """Writes report, table and, with labels, the page when all shares are done, and returns the report."""
    aside = dict(ignored_files=plan.ignored_files, images_without_mask=plan.images_without_mask)
    report = state.finish([job.name for job in plan.jobs], aside)
    found = evaluate(report, task.classes.labels)
    table = make_table(report, task.classes.labels, found=found)
    atomic_write(task.out / 'table.txt', table + '\n', scratch=state.scratch)
    if found.gain is not None:
        worker = MaskWorker(task, state)
        write_run_page(found, read_records(report), plan, worker)
        export_fiftyone(found, plan, worker)
    state.close()
    return {**report, 'table': table, 'summary': summarise(report)}


def _in_workers(worker: MaskWorker, shares: list[list[Job]], strict: bool, bar: tqdm) -> None:
    """Does every share in a process of its own."""
    context = get_context('spawn')  # a forked process would inherit locked threads of torch
    processes = [context.Process(target=_work, args=(worker, share, strict, os.getpid())) for share in shares]
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


def _work(worker: MaskWorker, jobs: list[Job], strict: bool, parent: int) -> None:
    """A process's whole life: its share, and not a moment longer than its parent's."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        take_share(worker, jobs, strict=strict)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        sys.exit(f'error: {error}')


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _under_torchrun(task: FolderTask, strict: bool, overwrite: bool) -> dict[str, Any]:
    """Does this process's share; the first process hands them out, and waits for all of them."""
    dist.init_process_group('gloo', timeout=PATIENCE)
    rank, world = dist.get_rank(), dist.get_world_size()
    begun, shares = None, None
    mine: list[Any] = [None]
    held = ExitStack()
    try:
        if rank == 0:
            held.enter_context(only_run(task.out))
            begun = plan, state = begin(task, overwrite=overwrite)
            jobs = state.remaining(plan.jobs)
            shares = [(state, jobs[i::world]) for i in range(world)]
        # the others wait here until the folder is open
        dist.scatter_object_list(mine, shares)
        state, jobs = mine[0]
        worker = MaskWorker(_on_own_device(task), state)
        with tqdm(total=len(jobs), desc=f'refining, process {rank}', unit='mask', disable=rank > 0) as bar:
            take_share(worker, jobs, strict=strict, each=bar.update)
        dist.barrier()
        return {} if begun is None else finish(task, *begun)
    finally:
        held.close()
        dist.destroy_process_group()


def _on_own_device(task: FolderTask) -> FolderTask:
    if task.device != 'cuda':  # 'cuda:1' is one GPU by wish
        return task
    return replace(task, device=f'cuda:{os.environ.get("LOCAL_RANK", 0)}')
