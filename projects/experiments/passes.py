"""Passes, seconds and gains of several ways of asking, side by side on the same images, as ratios to the first.

    python -m projects.experiments.passes projects/experiments/configs/race.py --out work_dirs/race --half odd

A config is one of `projects.experiments`. All runs are made on an image before the next image begins, so that other
work on the machine slows all of them. A pass is one run of a denoiser about one layout, timestep and draw; those of all
priors of a chain are counted. OUT/SET has a file an image: called again it goes on where it stopped.
Shapes: C classes, B layouts.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.evaluation.rows import markdown
from mmseg_g4seg.evaluation.statistics import compare
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.ops.clock import device_seconds
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from projects.experiments.plan import ImageSet, check_selection, read_experiment
from projects.experiments.run import check_set, read_case, refiner_digest
from projects.experiments.table import Half, choose_half

COSTS = ('passes', 'seconds')


class CountedPrior:
    """Stands in front of a prior and counts its passes."""

    def __init__(self, prior: Any) -> None:
        self.prior, self.passes = prior, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.prior, name)

    def denoise(self, noisy: Tensor, *args: Any) -> Tensor:
        """(B, c, h, w) -> (B, c, h, w)."""
        self.passes += len(noisy)
        return self.prior.denoise(noisy, *args)


def count_passes(refiner: Refiner) -> list[CountedPrior]:
    """Puts a counter in front of every prior of a refiner or chain."""
    counters = []
    for stage in getattr(refiner, 'refiners', [refiner]):
        if isinstance(stage, G4SegRefiner):
            counters.append(CountedPrior(stage.prior))
            stage.prior = counters[-1]  # type: ignore[assignment]
    return counters


def measure(name: str, image_set: ImageSet, refiner: Refiner, counters: Sequence[CountedPrior]) -> dict[str, Any]:
    """Refines one image: its passes, seconds, and areas (2, 3, C) before and after."""
    case, classes = read_case(name, image_set), image_set.reader().classes.with_options(refiner.class_options)
    before, start = sum(counter.passes for counter in counters), device_seconds([case.image])
    refined = refiner.refine(case.image, case.coarse, classes, key=case.key)
    seconds = device_seconds([case.image]) - start
    areas = [class_areas(p.label_map, case.truth, len(classes)).tolist() for p in (case.coarse, refined)]
    return {'passes': sum(counter.passes for counter in counters) - before, 'seconds': seconds, 'areas': areas}


def table_rows(set_name: str, results: Mapping[str, Sequence[dict[str, Any]]], counted: Any) -> list[list[str]]:
    """A row a run: ratios and the paired gain are to the first run."""
    rows, first = [], next(iter(results.values()))
    for name, own in results.items():
        areas, base = (torch.tensor([record['areas'] for record in records]) for records in (own, first))
        gain = compare(areas[:, 0], areas[:, 1], counted)
        over_first = compare(base[:, 1], areas[:, 1], counted)
        passes, seconds = ([sum(r[key] for r in records) / len(own) for records in (own, first)] for key in COSTS)
        rows.append(
            [set_name, name, str(len(own)), f'{passes[0]:.1f}', f'{passes[0] / passes[1]:.1%}', f'{seconds[0]:.2f}']
            + [f'{seconds[0] / seconds[1]:.1%}']
            + [f'{c.gain:+.2f} [{c.interval[0]:+.2f}, {c.interval[1]:+.2f}]' for c in (gain, over_first)]
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--half', choices=get_args(Half), default='all', help='of the images, by order of names')
    parser.add_argument('--images', type=int, help='at most so many images a set')
    parser.add_argument('--sets', nargs='*', help='names of sets; all when not given')
    parser.add_argument('--runs', nargs='*', help='names of runs, the first is what the others are compared with')
    args = parser.parse_args(arguments)
    experiment, rows = read_experiment(args.config), []
    check_selection('--sets', args.sets, experiment.sets)
    for set_name in args.sets or experiment.sets:
        image_set = experiment.sets[set_name]
        runs = {run.name: run.refiner for run in experiment.runs if run.set_name == set_name}
        wanted = args.runs or list(runs)
        if unknown := sorted(set(wanted) - set(runs)):
            raise SystemExit(f'--runs: expected some of {list(runs)}, got {unknown}')
        names = choose_half(image_set.image_names(), args.half)[: args.images]
        if not names:
            raise SystemExit(f'set {set_name}: expected images with scores in {image_set.scores}, found none')
        check_set(args.out, image_set)
        results = run_set(args.out / set_name, image_set, {name: runs[name] for name in wanted}, names)
        rows += table_rows(set_name, results, image_set.counted_classes())
    header = ['set', 'run', 'images', 'passes', 'ratio', 'seconds', 'ratio', 'gain [95 %]', 'over the first [95 %]']
    table = markdown([header, *rows])
    atomic_write(args.out / 'table.md', table)
    print(table)


def run_set(
    folder: Path, image_set: ImageSet, runs: Mapping[str, dict[str, Any]], names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Results of each run, image by image; those that are in the folder are read from it."""
    refiners = {name: build_refiner(config) for name, config in runs.items()}
    counters = {name: count_passes(refiner) for name, refiner in refiners.items() if refiner is not None}
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
    for image in tqdm(names, image_set.name, mininterval=20):
        path = folder / f'{image}.json'
        done = json.loads(path.read_text()) if path.exists() else {}
        for name, refiner in refiners.items():
            digest = refiner_digest(runs[name])
            # under one name there may be results of a config that was changed since
            if done.get(name, {}).get('refiner') != digest:
                assert refiner is not None
                done[name] = {**measure(image, image_set, refiner, counters[name]), 'refiner': digest}
                atomic_write(path, json.dumps(done))
            results[name].append(done[name])
    return results


if __name__ == '__main__':
    main()
