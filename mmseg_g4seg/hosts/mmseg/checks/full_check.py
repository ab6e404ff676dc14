"""`tools/check_dataset.py`: everything about a data set, as a report and pictures, before an hour is spent on it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_g4seg.hosts.mmseg.datasets.settings import dataset_parts
from mmseg_g4seg.io.atomic import atomic_write

from .examiner import examine
from .overlays import draw_pairs, remove_pictures
from .report import CheckReport, report_of

SplitName = Literal['train', 'val', 'test']


def check_dataset(config: Config, split: SplitName, out: Path, *, images: int = 10, seed: int = 0) -> CheckReport:
    """Checks the data set of a config; writes `report.json`, `table.txt`, `overlays/` and `contact_sheet.png`.

    Labels are read by the data set's own rules (`reduce_zero_label`, `label_map`). The pictures of an earlier check
    are removed first.

    Args:
        config: any config with `{split}_dataloader`; no model is built.
        split: which one.
        out: folder of the results.
        images: how many overlays, of random pairs that can be read.
        seed: of their choice.

    Returns:
        The report; the data set is fit for a run where `problems` is empty.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    out.mkdir(parents=True, exist_ok=True)
    remove_pictures(out)
    outer = (config.get(f'{split}_dataloader') or {}).get('dataset') or {}
    parts = list(dataset_parts(outer))
    if len(parts) == 1 and 'datasets' not in parts[0]:
        found = examine(parts[0], read_labels=True)
        report = report_of(found, split)
        files, problems = draw_pairs(found, out, images=images, seed=seed)
        report.files += files
        report.problems += problems
    else:
        report = CheckReport(str(outer.get('type', 'none')), split)
        report.problems.append(
            f'{report.dataset} joins several data sets: check the config of each by itself'
            if outer
            else f'the config has no data set in {split}_dataloader: choose another --split'
        )
    atomic_write(out / 'report.json', json.dumps(asdict(report), indent=1) + '\n')
    atomic_write(out / 'table.txt', report.table() + '\n')
    return report
