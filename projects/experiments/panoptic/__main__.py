"""Measures panoptic refinement on procedural scenes, beside the control that fills void and refines nothing.

    python -m projects.demo.make_scenes work_dirs/panoptic_scenes val=24
    python -m projects.experiments.panoptic work_dirs/panoptic_scenes --split val --out work_dirs/panoptic

Predictions of two qualities are made from the truth. OUT/QUALITY.json has the record of every scene, OUT/table.md the
table. A gain is a refiner's only where it goes beyond the control's. Called again it goes on where it stopped; other
options want another OUT.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mmseg_g4seg.evaluation.panoptic import PanopticRecord
from mmseg_g4seg.evaluation.records import COARSE
from mmseg_g4seg.evaluation.statistics import Comparison
from mmseg_g4seg.hosts.arrays import load_refiner
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER
from projects.experiments.panoptic.measure import CONTROL, gains, refine_all
from projects.experiments.panoptic.scenes import GOOD, STUFF, WEAK, Quality, degrade, read_cases


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('scenes', type=Path, help='folder of `projects.demo.make_scenes`')
    parser.add_argument('--split', default='val')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--refiners', nargs='+', default=['tiny'], help='what `load_refiner` takes')
    parser.add_argument('--soften', type=float, default=SEGMENT_BORDER, help='of hard segments')
    parser.add_argument(
        '--evidence-power', type=float, default=1.0, help="of the queries' masks; 0.5 makes plain shares of them"
    )
    parser.add_argument('--scenes-at-most', type=int)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    names = (args.scenes / 'classes.txt').read_text().splitlines()
    refiners = {source: load_refiner(source).refiner for source in args.refiners}
    cases = list(read_cases(args.scenes, args.split, names))[: args.scenes_at_most]
    args.out.mkdir(parents=True, exist_ok=True)
    records: dict[Quality, list[PanopticRecord]] = {
        quality: read_records(args.out, quality) for quality in (WEAK, GOOD)
    }
    for case in tqdm(cases, 'scenes'):
        for quality, own in records.items():
            if case.name not in {record.name for record in own}:
                coarse = degrade(case, quality, len(names))
                coarse = replace(coarse, masks=coarse.masks**args.evidence_power)
                own.append(refine_all(case, coarse, refiners, ClassList(names), soften=args.soften))
                content = json.dumps([record.as_dict() for record in own])
                atomic_write(args.out / f'{quality.name}.json', content)
    rows = [row for quality, own in records.items() for row in table_rows(quality, own, names)]
    atomic_write(args.out / 'table.md', as_markdown(rows))
    print(as_markdown(rows))


def read_records(folder: Path, quality: Quality) -> list[PanopticRecord]:
    """Scenes that are done: a run that was stopped goes on."""
    path = folder / f'{quality.name}.json'
    return [PanopticRecord.from_dict(own) for own in json.loads(path.read_text())] if path.exists() else []


def table_rows(quality: Quality, records: Sequence[PanopticRecord], names: Sequence[str]) -> list[list[str]]:
    """A row a way of refining: PQ, the gain over the coarse segments and that over the control."""
    things = [c for c, name in enumerate(names) if name not in STUFF]
    over_coarse, over_control = (gains(records, names, things, over=stage) for stage in (COARSE, CONTROL))
    rows = []
    for stage, gain in over_coarse.items():
        beyond = '' if stage == CONTROL else cell(over_control[stage])
        changes = f'{gain.better} / {gain.worse}'
        rows.append([quality.name, stage, f'{gain.before:.2f}', f'{gain.after:.2f}', cell(gain), changes, beyond])
    return rows


def cell(gain: Comparison) -> str:
    low, high = gain.interval
    return f'{gain.gain:+.2f} [{low:+.2f}, {high:+.2f}]'


def as_markdown(rows: Sequence[Sequence[Any]]) -> str:
    header = ['masks', 'way', 'PQ before', 'PQ', 'gain', 'better / worse', 'over the control']
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines) + '\n'


if __name__ == '__main__':
    main()
