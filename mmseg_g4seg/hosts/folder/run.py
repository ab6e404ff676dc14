"""Runs over a folder of masks; plan and state are made once, by the process that `spread` calls first."""

from typing import Any

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.images import opening_megapixels

from .page import export_fiftyone, write_run_page
from .plan import Plan, make_plan
from .refine import MaskWorker
from .report import evaluate, make_table, read_records, summarise
from .run_state import RunState
from .shares import Work, spread
from .task import FolderTask


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

    def find_work() -> Work:
        plan, state = begin(task, overwrite=overwrite)
        return Work(MaskWorker(task, state), plan.jobs, lambda: finish(task, plan, state))

    return spread(task.out, find_work, workers=workers, strict=strict, title='refining', unit='mask')


def begin(task: FolderTask, *, overwrite: bool = False) -> tuple[Plan, RunState]:
    """Lists the work and opens the folder of results; once a run, inside `only_run`, before any share of it starts."""
    plan = make_plan(task)
    task.out.mkdir(parents=True, exist_ok=True)
    with opening_megapixels(task.megapixels):
        state = RunState(task.out, task.settings())
    state.begin([job.result for job in plan.jobs], overwrite=overwrite)
    return plan, state


def finish(task: FolderTask, plan: Plan, state: RunState) -> dict[str, Any]:
    """Writes report, table and, with labels, the page when all shares are done, and returns the report."""
    aside = dict(
        ignored_files=plan.ignored_files,
        nested_masks=plan.nested_masks,
        images_without_mask=plan.images_without_mask,
    )
    report = state.finish([job.name for job in plan.jobs], aside)
    found = evaluate(report, task.classes.labels)
    table = make_table(report, task.classes.labels, found=found)
    atomic_write(task.out / 'table.txt', table + '\n', scratch=state.scratch)
    if found.gain is not None:
        worker = MaskWorker(task, state)
        with opening_megapixels(task.megapixels):
            write_run_page(found, read_records(report), plan, worker)
            export_fiftyone(found, plan, worker)
    state.close()
    return {**report, 'table': table, 'summary': summarise(report)}
