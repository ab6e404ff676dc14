"""Runs an experiment: refiners over sets of images with coarse scores, one row a run, with statistics.

    python -m projects.experiments projects/experiments/configs/chains.py --out work_dirs/chains
    python -m projects.experiments CONFIG --out work_dirs/chains --half odd --table-only
    python -m projects.experiments CONFIG --out work_dirs/chains --against crf --table-only

Called again it goes on where it stopped; what is done is not done again, also when runs were added.
A run is known by its refiner's config and its set's name: after training a prior anew, take another OUT.
OUT/table.csv has all figures of the runs and sets asked for, OUT/table.md those that documents show; --pictures N
draws the N best and N worst images of each run beside its results. --report writes a page of each run into a folder
there, report.html.
"""

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, get_args

import torch

from mmseg_g4seg.evaluation.files import PAGE
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.label_files import png_bytes
from mmseg_g4seg.refiners.build import build_refiner
from projects.experiments.pictures import draw_extremes
from projects.experiments.plan import Experiment, Run, check_selection, read_experiment
from projects.experiments.report import write_run_report
from projects.experiments.run import read_results, result_path, run_images
from projects.experiments.table import Half, as_csv, as_markdown, choose_half, make_rows


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='sets and runs, see projects/experiments/configs')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--half', choices=get_args(Half), default='all', help='of the images, by order of names')
    parser.add_argument('--sets', nargs='*', help='names of sets; all when not given')
    parser.add_argument('--runs', nargs='*', help='entries of runs (grids whole); all when not given')
    parser.add_argument('--images', type=int, help='at most so many images a set')
    parser.add_argument('--table-only', action='store_true', help='refine nothing, write the tables')
    parser.add_argument('--against', help='run whose masks take the place of the coarse ones in the tables')
    parser.add_argument('--pictures', type=int, default=0, help='so many of the best and worst images of each run')
    parser.add_argument('--report', action='store_true', help='a page of each run, with those pictures')
    parser.add_argument('--block', type=int, default=1, help='images that the bootstrap draws together: for video')
    parser.add_argument('--processes', type=int, default=1, help='that refine beside each other, a run and set each')
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    experiment = read_experiment(args.config)
    check_selection('--sets', args.sets, experiment.sets)
    check_selection('--runs', args.runs, [entry_name(run) for run in experiment.runs])
    if args.processes < 1:
        raise SystemExit(f'--processes: expected at least 1, got {args.processes}')
    if args.block < 1:
        raise SystemExit(f'--block: expected at least 1 image, got {args.block}')
    if args.against and args.against not in {run.name for run in experiment.runs}:
        raise SystemExit(
            f'--against: expected one of {sorted({run.name for run in experiment.runs})}, got {args.against}'
        )
    asked = [
        run
        for run in experiment.runs
        if run.set_name in (args.sets or experiment.sets) and (not args.runs or entry_name(run) in args.runs)
    ]
    if args.processes > 1 and not args.table_only:
        refine_beside(asked, experiment, args)
    rows = [row for run in asked for row in measure_run(run, experiment, args)]
    if not rows:
        raise SystemExit(f'{args.out}: expected images of {args.sets or "any set"} with results, found none')
    rows.sort(key=lambda row: list(experiment.sets).index(row['set']))
    args.out.mkdir(parents=True, exist_ok=True)
    atomic_write(args.out / f'{table_name(args)}.csv', as_csv(rows))
    atomic_write(args.out / f'{table_name(args)}.md', as_markdown(rows))
    print(as_markdown(rows))


def refine_beside(runs: Sequence[Run], experiment: Experiment, args: argparse.Namespace) -> None:
    """Refines what has no result yet in processes of their own, which share the cores."""
    threads = max(1, len(os.sched_getaffinity(0)) // args.processes)
    # spawned: a process that has run CUDA or OpenMP must not be forked
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(args.processes, context, torch.set_num_threads, (threads,)) as pool:
        begun = [
            pool.submit(
                run_images,
                run,
                experiment.sets[run.set_name],
                args.out,
                names=names_of(run, experiment, args),
                device=args.device,
            )
            for run in runs
        ]
        for work in begun:
            work.result()


def names_of(run: Run, experiment: Experiment, args: argparse.Namespace) -> list[str]:
    """Images of a run's set that are asked for."""
    return choose_half(experiment.sets[run.set_name].image_names(), args.half)[: args.images]


def measure_run(run: Run, experiment: Experiment, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Refines what of a run has no result yet, draws its pictures if asked for, and makes its rows of the table."""
    image_set, path = experiment.sets[run.set_name], result_path(args.out, run)
    names = names_of(run, experiment, args)
    if not args.table_only:
        run_images(run, image_set, args.out, names=names, device=args.device)
    results = read_results(path)
    if args.pictures:
        refiner = build_refiner(run.refiner)
        assert refiner is not None
        shown = {name: record for name, record in results.items() if name in names}
        sheet = draw_extremes(refiner.to(args.device), image_set, shown, args.pictures)
        atomic_write(path.with_suffix('.png'), png_bytes(sheet))
    if args.report:
        records = [results[name] for name in names if name in results]
        folder = path.with_suffix('')
        write_run_report(run, image_set, records, folder, pictures=args.pictures, device=args.device, block=args.block)
        print(folder / PAGE)
    against = None
    if args.against:
        (baseline,) = (r for r in experiment.runs if (r.name, r.set_name) == (args.against, run.set_name))
        against = read_results(result_path(args.out, baseline))
    return make_rows(run, image_set, results, names, against=against, block=args.block)


def table_name(args: argparse.Namespace) -> str:
    """Tables of another half, baseline or bootstrap stand beside each other."""
    half = '' if args.half == 'all' else f'_{args.half}'
    against = f'_against_{args.against}' if args.against else ''
    return f'table{half}{against}' + (f'_block{args.block}' if args.block > 1 else '')


def entry_name(run: Run) -> str:
    """Name of the config's entry that a run is of: a grid's runs have their options behind it."""
    return run.name.split(' ')[0]


if __name__ == '__main__':
    main()
