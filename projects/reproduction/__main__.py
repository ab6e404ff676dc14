"""Runs what the G4Seg paper's tables need, and sets our figures beside the paper's.

    python -m projects.reproduction                       # the tables
    python -m projects.reproduction supervised --dry-run  # what its runs need, and what of it is here
    python -m projects.reproduction supervised            # runs those that can run, fills OUT/supervised/table.md

Data sets lie under data/ as mmseg has them, seeds under data/seeds, checkpoints under checkpoints/. A run
that was made is read, not made again.
"""

import argparse
import shlex
import sys
from pathlib import Path

import mmseg_g4seg  # noqa: F401  registers the package, and lets mmseg:: base configs resolve
from mmseg_g4seg.cli.config_options import ConfigOptions
from mmseg_g4seg.io.atomic import atomic_write
from projects.reproduction.paper import TABLES, find_rows, find_table
from projects.reproduction.plans import Places, plan_row
from projects.reproduction.runs import run_plan
from projects.reproduction.table import as_csv, as_markdown, describe, fill

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', nargs='?', help=f'one of {", ".join(TABLES)}, or the number (I, III, XI); all without')
    parser.add_argument('--dry-run', action='store_true', help='only say what is needed and what is here')
    parser.add_argument('--rows', default='', help='only rows whose name has this in it')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/reproduce'), help='folder of the results')
    parser.add_argument('--checkpoints', type=Path, default=Path('checkpoints'), help='folder of checkpoints')
    parser.add_argument('--prior', default='', help='folder of a prior in diffusers layout, in place of the hub')
    parser.add_argument('--download', action='store_true', help='fetch prior and CLIP weights from their hub')
    parser.add_argument('--gpus', type=int, default=1, help='processes of an evaluation')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, default={}, help='over every config, key=value'
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    if args.table is None:
        for name, table in TABLES.items():
            print(f'{name}{f" (Table {table.number})" if table.number else ""}: {table.title}, {len(table.rows)} runs')
        return 0
    try:
        table = find_table(args.table)
        asked = find_rows(table, args.rows)
    except ValueError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    name = next(key for key, value in TABLES.items() if value is table)
    places = Places(
        root=ROOT,
        out=args.out / name,
        checkpoints=args.checkpoints,
        prior=args.prior,
        options=args.cfg_options,
        download=args.download,
        gpus=args.gpus,
    )
    plans = [plan_row(row, places) for row in table.rows]
    print(describe(name, table, plans))
    if args.dry_run:
        return 0
    chosen = [plan for row, plan in zip(table.rows, plans, strict=True) if row in asked and plan]
    failed = 0
    for plan in (plan for plan in chosen if not plan.missing):
        print(f'running {shlex.join(plan.command)}', flush=True)
        failed += not run_plan(plan)
    rows = fill(table, plans)
    places.out.mkdir(parents=True, exist_ok=True)
    atomic_write(places.out / 'table.md', as_markdown(rows))
    atomic_write(places.out / 'table.csv', as_csv(rows))
    print(as_markdown(rows))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
