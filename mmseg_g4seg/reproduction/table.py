"""The paper's figures beside ours."""

import csv
import io

from .paper import Row, Table
from .runs import Figures, Plan, read_figures

HEADER = ('run', 'metric', 'paper: coarse', 'refined', 'ours: coarse', 'refined', 'gain, 95 % interval', 'state')


def describe(name: str, table: Table, plans: list[Plan | None]) -> str:
    """What every run of a table needs, where it is expected, and whether it is there."""
    lines = [f'{name}{f" (Table {table.number})" if table.number else ""}: {table.title}']
    for row, plan in zip(table.rows, plans, strict=True):
        lines.append(f'  {row.name}: {_state(row, plan).split(":")[0] if plan else _state(row, plan)}')
        for need in plan.needs if plan else ():
            found = 'found  ' if need.found else 'MISSING'
            lines.append(f'    {found} {need.what}: {need.where}{"" if need.found else f"  ({need.how})"}')
    return '\n'.join(lines)


def fill(table: Table, plans: list[Plan | None]) -> list[tuple[str, ...]]:
    """Rows of the table under `HEADER`."""
    return [_cells(row, plan) for row, plan in zip(table.rows, plans, strict=True)]


def as_markdown(rows: list[tuple[str, ...]]) -> str:
    lines = ['| ' + ' | '.join(line) + ' |' for line in (HEADER, ('---',) * len(HEADER), *rows)]
    return '\n'.join(lines) + '\n'


def as_csv(rows: list[tuple[str, ...]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator='\n').writerows([HEADER, *rows])
    return buffer.getvalue()


def _cells(row: Row, plan: Plan | None) -> tuple[str, ...]:
    figures = read_figures(plan) if plan else None
    paper = (row.name, row.metric, _figure(row.coarse), _figure(row.refined))
    return (*paper, *_ours(figures), _state(row, plan))


def _ours(figures: Figures | None) -> tuple[str, str, str]:
    if figures is None:
        return '-', '-', '-'
    gain = f'{figures.refined - figures.coarse:+.2f}'
    if figures.interval is not None:
        gain += ' [{:+.2f}, {:+.2f}]'.format(*figures.interval)
    return f'{figures.coarse:.2f}', f'{figures.refined:.2f}', gain


def _state(row: Row, plan: Plan | None) -> str:
    if plan is None:
        return f'no run: {row.lacks}'
    if read_figures(plan) is not None:
        return 'measured'
    if plan.missing:
        return 'missing: ' + '; '.join(f'{need.what} {need.where}' for need in plan.missing)
    if (plan.folder / 'log.txt').is_file():
        return f'failed: {plan.folder / "log.txt"}'
    return 'ready'


def _figure(value: float | None) -> str:
    return '-' if value is None else f'{value:.1f}'
