"""Makes a plan's run once, and finds its figures again.

`run.json` in the folder of the results says what they are of, and whether the run came to its end.
"""

import json
import subprocess
from itertools import count
from pathlib import Path
from typing import Any

from mmseg_g4seg.io.atomic import atomic_write

from .figures import DAMAGED, Figures, read_evaluation, read_refined_folder
from .plans import LINKS, Plan

RECORD, LOG = 'run.json', 'log.txt'


def run_plan(plan: Plan) -> bool:
    """Runs a plan's command, its output going to `log.txt`; a run that was made is not made again.

    One that was cut off, or lacks seeds that are there by now, goes on. Results of another command or
    other settings, and damaged ones, are set aside (`NAME.1`).

    Returns:
        Whether its figures are there.
    """
    figures = read_figures(plan)
    if figures is not None and (plan.seeds is None or figures.images == len(plan.seeds.files)):
        return True
    goes_on = figures is not None or _finished(plan) is False
    if plan.folder.exists() and not goes_on:
        _set_aside(plan.folder)
    plan.folder.mkdir(parents=True, exist_ok=True)
    for name, text in plan.files.items():
        atomic_write(plan.folder / name, text)
    if plan.seeds is not None:
        plan.seeds.link(plan.folder / LINKS)
    _write_record(plan, finished=False)
    with (plan.folder / LOG).open('w') as log:
        subprocess.run(plan.command, stdout=log, stderr=subprocess.STDOUT, check=False)
    # not by the exit status: seeds that cannot be read make it 1, though all others are refined
    _write_record(plan, finished=_read(plan) is not None)
    return read_figures(plan) is not None


def read_figures(plan: Plan) -> Figures | None:
    """The figures of a run; None if there is none of this command and these files, or its figures are damaged."""
    return _read(plan) if _finished(plan) else None


def why_none(plan: Plan) -> str:
    """Why there are no figures of a run that was begun; empty where none was."""
    finished = _finished(plan)
    if finished is None:
        return ''
    if finished:
        return f'no figures: {plan.figures} is missing or damaged; run again'
    return f'failed: {plan.folder / LOG}'


def _finished(plan: Plan) -> bool | None:
    """Whether the plan's run came to its end; None if the folder holds none, or that of another plan."""
    try:
        record = json.loads((plan.folder / RECORD).read_text())
        finished = bool(record.pop('finished'))
    except DAMAGED:
        return None
    return finished if record == _made_from(plan) else None


def _made_from(plan: Plan) -> dict[str, Any]:
    return {'command': plan.command, 'files': plan.files}


def _write_record(plan: Plan, *, finished: bool) -> None:
    atomic_write(plan.folder / RECORD, json.dumps({**_made_from(plan), 'finished': finished}, indent=1) + '\n')


def _read(plan: Plan) -> Figures | None:
    try:
        return read_evaluation(plan.figures) if plan.seeds is None else read_refined_folder(plan.figures)
    except DAMAGED:
        return None


def _set_aside(folder: Path) -> None:
    free = next(path for i in count(1) if not (path := folder.with_name(f'{folder.name}.{i}')).exists())
    folder.rename(free)
