"""Runs an experiment: refiners over sets of images with coarse scores, one row a run, with statistics.

    python -m projects.experiments projects/experiments/configs/chains.py --out work_dirs/chains
    python -m projects.experiments CONFIG --out work_dirs/chains --half odd --table-only
    python -m projects.experiments CONFIG --out work_dirs/chains --against crf --table-only

Called again it goes on where it stopped; what is done is not done again, also when runs were added.
A run is known by its refiner's config and its set's name: after training a prior anew, take another OUT.
OUT/table.csv has all figures of the runs and sets asked for, OUT/table.md those that documents show; --pictures N
draws the N best and N worst images of each run beside its results.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.refiners.build import build_refiner
from projects.experiments.pictures import draw_extremes
from projects.experiments.plan import Run, read_experiment
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
    parser.add_argument('--block', type=int, default=1, help='images that the bootstrap draws together: for video')
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    experiment = read_experiment(args.config)
    check_selection('--sets', args.sets, experiment.sets)
    check_selection('--runs', args.runs, [entry_name(run) for run in experiment.runs])
    if args.block < 1:
        raise SystemExit(f'--block: expected at least 1 image, got {args.block}')
    rows = []
    baselines = {run.set_name: run for run in experiment.runs if run.name == args.against}
    if args.against and not baselines:
        raise SystemExit(
            f'--against: expected one of {sorted({run.name for run in experiment.runs})}, got {args.against}'
        )
    for run in experiment.runs:
        if args.sets and run.set_name not in args.sets:
            continue
        if args.runs and entry_name(run) not in args.runs:
            continue
        image_set = experiment.sets[run.set_name]
        names = choose_half(image_set.image_names(), args.half)[: args.images]
        if not args.table_only:
            run_images(run, image_set, args.out, names=names, device=args.device)
        if args.pictures:
            path = result_path(args.out, run)
            results = {name: line for name, line in read_results(path).items() if name in names}
            refiner = build_refiner(run.refiner)
            assert refiner is not None
            draw_extremes(refiner.to(args.device), image_set, results, args.pictures).save(path.with_suffix('.png'))
        against = read_results(result_path(args.out, baselines[run.set_name])) if args.against else None
        rows += make_rows(
            run, image_set, read_results(result_path(args.out, run)), names, against=against, block=args.block
        )
    if not rows:
        raise SystemExit(f'{args.out}: expected images of {args.sets or "any set"} with results, found none')
    rows.sort(key=lambda row: list(experiment.sets).index(row['set']))
    args.out.mkdir(parents=True, exist_ok=True)
    stem = '_'.join(
        [
            'table',
            *([args.half] if args.half != 'all' else []),
            *(['against', args.against] if args.against else []),
            *([f'block{args.block}'] if args.block > 1 else []),
        ]
    )
    atomic_write(args.out / f'{stem}.csv', as_csv(rows))
    atomic_write(args.out / f'{stem}.md', as_markdown(rows))
    print(as_markdown(rows))


def entry_name(run: Run) -> str:
    """Name of the config's entry that a run is of: a grid's runs have their options behind it."""
    return run.name.split(' ')[0]


def check_selection(option: str, asked: Sequence[str] | None, known: Iterable[str]) -> None:
    """Names that the config does not have would leave a table without them."""
    known = list(dict.fromkeys(known))
    unknown = sorted(set(asked or ()) - set(known))
    if unknown:
        raise SystemExit(f'{option}: expected some of {known}, got {unknown}')


if __name__ == '__main__':
    main()
