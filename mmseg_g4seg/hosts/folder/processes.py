"""Shares of a folder's work: in this process, in several that it starts, or under torchrun."""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from typing import Any

import torch.distributed as dist
from tqdm import tqdm

from mmseg_g4seg.io.atomic import atomic_write

from .refine import BadFile, FolderTask, Job, plan, refine_share
from .report import make_table, summarise
from .run_state import RunState

PATIENCE = timedelta(days=30)
"""How long the first process waits for the shares of the others."""


def refine_folder(task: FolderTask, *, workers: int = 1, overwrite: bool = False) -> dict[str, Any]:
    """Refines a folder of masks; called again after a kill it goes on.

    Under torchrun every process takes a share, on its own GPU where there are several, and the first
    one writes the report.

    Args:
        task: what to do.
        workers: processes to start; not under torchrun.
        overwrite: start anew.

    Returns:
        The report, as in `OUT/report.json`, in the first process; in the others an empty one.

    Raises:
        FileExistsError: if the folder holds something else, see `RunState.begin`.
        BadFile: if the task is strict and something is wrong with a file.
        RuntimeError: if a worker ended before its share did.
    """
    if workers < 1:
        raise ValueError(f'workers: expected at least 1, got {workers}')
    if 'RANK' in os.environ and int(os.environ.get('WORLD_SIZE', 1)) > 1:
        return _under_torchrun(task, overwrite)
    jobs, state = _begin(task, overwrite)
    with tqdm(total=len(jobs), desc='refining', unit='mask') as bar:
        if workers == 1:
            refine_share(task, state, jobs, each=lambda: bar.update())
        else:
            _in_workers(task, state, len(jobs), workers, bar)
    return _finish(task, state)


def _begin(task: FolderTask, overwrite: bool) -> tuple[list[Job], RunState]:
    jobs, _ = plan(task)
    if not jobs:
        raise ValueError(f'expected masks ({task.reader().suffix}) in {task.masks}, found none')
    task.out.mkdir(parents=True, exist_ok=True)
    state = RunState(task.out, task.settings())
    state.begin([job.result for job in jobs], overwrite=overwrite)
    return jobs, state


def _finish(task: FolderTask, state: RunState) -> dict[str, Any]:
    jobs, aside = plan(task)
    report = state.finish([job.name for job in jobs], aside)
    table = make_table(report, task.classes.names)
    atomic_write(task.out / 'table.txt', table + '\n', scratch=state.scratch)
    state.close()
    return {**report, 'table': table, 'summary': summarise(report)}


def _in_workers(task: FolderTask, state: RunState, count: int, workers: int, bar: tqdm) -> None:
    context = get_context('spawn')  # a forked process would inherit locked threads of torch
    processes = [context.Process(target=_work, args=(task, share, workers, os.getpid())) for share in range(workers)]
    for process in processes:
        process.start()
    try:
        while any(process.is_alive() for process in processes):
            bar.update(min(state.count(), count) - bar.n)
            time.sleep(0.2)
            if any(process.exitcode for process in processes):
                break
        bar.update(min(state.count(), count) - bar.n)
    finally:
        failed = [process.exitcode for process in processes if process.exitcode]
        for process in processes:  # which have ended, but for a failure or an interrupt
            process.terminate()
            process.join()
    if failed:
        raise RuntimeError(f'a worker ended with exit code {failed[0]} before its share was done; see its error above')


def _work(task: FolderTask, share: int, shares: int, parent: int) -> None:
    """A worker's whole life: its share, and not a moment longer than its parent's."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        _take_share(task, share, shares)
    except (BadFile, OSError, ValueError, RuntimeError, ImportError) as error:
        sys.exit(f'error: {error}')


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _take_share(task: FolderTask, share: int, shares: int, each: Callable = lambda: None) -> None:
    state = RunState(task.out, task.settings())
    state.resume()
    refine_share(task, state, plan(task)[0], share=share, shares=shares, each=each)


def _under_torchrun(task: FolderTask, overwrite: bool) -> dict[str, Any]:
    dist.init_process_group('gloo', timeout=PATIENCE)
    rank, world = dist.get_rank(), dist.get_world_size()
    try:
        jobs, state = _begin(task, overwrite) if rank == 0 else (plan(task)[0], RunState(task.out, task.settings()))
        dist.barrier()  # until the folder is open
        mine = jobs[rank::world]
        with tqdm(total=len(mine), desc=f'refining, process {rank}', unit='mask', disable=rank > 0) as bar:
            _take_share(_on_own_device(task), rank, world, each=lambda: bar.update())
        dist.barrier()  # until every share is done
        return _finish(task, state) if rank == 0 else {}
    finally:
        dist.destroy_process_group()


def _on_own_device(task: FolderTask) -> FolderTask:
    if task.device != 'cuda':
        return task
    return replace(task, device=f'cuda:{os.environ.get("LOCAL_RANK", 0)}')
