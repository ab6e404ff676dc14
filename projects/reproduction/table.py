"""The paper's figures beside ours."""

from mmseg_g4seg.evaluation.rows import csv_text, markdown

from .figures import Figures
from .plans import Plan
from .records import Row, Table
from .runs import read_figures, why_none

HEADER = ('run', 'metric', 'paper: coarse', 'refined', 'ours: coarse', 'refined', 'gain, 95 % interval', 'state')


def describe(name: str, table: Table, plans: list[Plan | None]) -> str:
    """What every run of a table needs, where it is expected, and whether it is there."""
    lines = [f'{name}{f" (Table {table.number})" if table.number else ""}: {table.title}']
    for row, plan in zip(table.rows, plans, strict=True):
        state = _state(row, plan, read_figures(plan) if plan else None)
        lines.append(f'  {row.name}: {state.split(":")[0] if plan else state}')
        for need in plan.needs if plan else ():
            found = 'found  ' if need.found else 'MISSING'
            lines.append(f'    {found} {need.what}: {need.where}{"" if need.found else f"  ({need.how})"}')
    return '\n'.join(lines)


def fill(table: Table, plans: list[Plan | None]) -> list[tuple[str, ...]]:
    """Rows of the table under `HEADER`."""
    return [_cells(row, plan) for row, plan in zip(table.rows, plans, strict=True)]


def as_markdown(rows: list[tuple[str, ...]]) -> str:
    return markdown([HEADER, *rows])


def as_csv(rows: list[tuple[str, ...]]) -> str:
    return csv_text([HEADER, *rows])


def _cells(row: Row, plan: Plan | None) -> tuple[str, ...]:
    figures = read_figures(plan) if plan else None
    paper = (row.name, row.metric, _figure(row.coarse), _figure(row.refined))
    return (*paper, *_ours(figures), _state(row, plan, figures))


def _ours(figures: Figures | None) -> tuple[str, str, str]:
    if figures is None:
        return '-', '-', '-'
    gain = _figure(figures.gain, '+.2f')
    if figures.interval is not None:
        gain += ' [{:+.2f}, {:+.2f}]'.format(*figures.interval)
    return _figure(figures.coarse, '.2f'), _figure(figures.refined, '.2f'), gain


def _state(row: Row, plan: Plan | None, figures: Figures | None) -> str:
    if plan is None:
        return f'no run: {row.lacks}'
    if figures is not None:
        return f'measured{_left_out(plan, figures)}'
    missing = '; '.join(f'{need.what} {need.where}' for need in plan.missing)
    notes = [f'missing: {missing}' if missing else '', why_none(plan)]
    return '; '.join(filter(None, notes)) or 'ready'


def _left_out(plan: Plan, figures: Figures) -> str:
    """How many of the listed seeds a run could not measure."""
    seeds = plan.seeds
    if seeds is None or figures.images == seeds.listed:
        return ''
    missing = seeds.listed - len(seeds.files)
    return f' on {figures.images} of {seeds.listed} seeds, {missing} missing, {figures.bad} bad: see {plan.figures}'


def _figure(value: float | None, form: str = '') -> str:
    return '-' if value is None else format(value, form)
