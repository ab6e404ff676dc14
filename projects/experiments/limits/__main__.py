"""Measures what limits the gain of G4Seg: the prior's knowledge, its calibration, the matches, the mask.

    python -m projects.experiments.limits projects/experiments/configs/ablation.py --out work_dirs/limits
    python -m projects.experiments.limits CONFIG --out work_dirs/limits_odd --half odd

The config's runs `likelihood` and `paper` (other names by options) are taken apart, see NOTEBOOK.md.
OUT/SET.json has all figures of a set, OUT/limits.md the tables of the sets measured. Called again, a set
that was measured on the same images with the same refiners is not measured again; after training a prior
anew, take another OUT.
"""

import argparse
import json
from pathlib import Path
from typing import Any, get_args

from mmseg_g4seg.io.atomic import atomic_write
from projects.experiments.limits.image import Compared
from projects.experiments.limits.measure import measure_limits, split_folds
from projects.experiments.limits.open_image import build_g4seg
from projects.experiments.limits.tables import as_tables
from projects.experiments.plan import Experiment, ImageSet, read_experiment
from projects.experiments.table import Half


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='sets and runs, see projects/experiments/configs')
    parser.add_argument('--out', type=Path, required=True, help='folder of the results')
    parser.add_argument('--half', choices=get_args(Half), default='all', help='to report on; calibrated on the other')
    parser.add_argument('--sets', nargs='*', help='names of sets; all when not given')
    parser.add_argument('--images', type=int, help='at most so many images of a half, with all of a set')
    parser.add_argument('--likelihood', default='likelihood', help='run with the likelihood update')
    parser.add_argument('--paper', default='paper', help="run with the paper's update")
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    experiment = read_experiment(args.config)
    unknown = sorted(set(args.sets or ()) - set(experiment.sets))
    if unknown:
        raise SystemExit(f'--sets: expected some of {list(experiment.sets)}, got {unknown}')
    args.out.mkdir(parents=True, exist_ok=True)
    reports = {}
    for name in args.sets or experiment.sets:
        reports[name] = report_on(experiment.sets[name], find_refiners(experiment, name, args), args)
        atomic_write(args.out / 'limits.md', as_tables(reports))
    print(as_tables(reports))


def find_refiners(experiment: Experiment, set_name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Configs of the two runs on a set."""
    runs = {run.name: run.refiner for run in experiment.runs if run.set_name == set_name}
    missing = [name for name in (args.likelihood, args.paper) if name not in runs]
    if missing:
        raise SystemExit(f'{args.config}: expected runs {[args.likelihood, args.paper]}, got none named {missing}')
    return [runs[args.likelihood], runs[args.paper]]


def report_on(image_set: ImageSet, refiners: list[dict[str, Any]], args: argparse.Namespace) -> dict[str, Any]:
    """The report of a set: read where the same was measured before, measured and written otherwise."""
    folds = split_folds(image_set.image_names(), args.half, args.images)
    asked = json.loads(json.dumps({'folds': folds, 'refiners': refiners}))
    path = args.out / f'{image_set.name}.json'
    if path.exists():
        known = json.loads(path.read_text())
        if known['asked'] == asked:
            return known['report']
    built = Compared(*(build_g4seg(refiner).to(args.device) for refiner in refiners))
    report = measure_limits(image_set, built, folds)
    atomic_write(path, json.dumps({'asked': asked, 'report': report}, indent=1))
    return report


if __name__ == '__main__':
    main()
