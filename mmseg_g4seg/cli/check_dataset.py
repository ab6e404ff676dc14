"""Checks the data set of a config before a long run, without building a model.

    g4seg check-dataset mmseg_g4seg::_base_/datasets/nightcity.py
    g4seg check-dataset CONFIG --split train --out work_dirs/train_set --images 20

Reports the number of images and labels, their sizes, the share of every class, label ids that do not belong, and what
to do about them. OUT/contact_sheet.png and OUT/overlays show random images with their labels. OUT/table.txt and
OUT/report.json have the figures. The exit code is 1 if something has to be fixed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from mmengine.config import Config

from mmseg_g4seg.hosts.mmseg.checks.full_check import SplitName, check_dataset
from mmseg_g4seg.io.config_files import find_shipped

from .config_options import ConfigOptions
from .interrupt import interruptible


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='config file; mmseg_g4seg::FOLDER/NAME.py for one of this package')
    parser.add_argument('--split', choices=get_args(SplitName), default='test', help='whose dataloader is checked')
    parser.add_argument('--out', type=Path, help='folder of the results; default: work_dirs/check_dataset/CONFIG_SPLIT')
    parser.add_argument('--images', type=int, default=10, help='number of overlays')
    parser.add_argument('--seed', type=int, default=0, help='seed for the choice of overlays')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='settings to override, key=value')
    return parser


@interruptible()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    args = build_parser().parse_args(argv)
    file = find_shipped(args.config)
    if file is None:
        print(f'error: {args.config} is missing: expected a config file', file=sys.stderr)
        return 1
    config = Config.fromfile(file)
    config.merge_from_dict(args.cfg_options or {})
    out = args.out or Path('work_dirs/check_dataset') / f'{args.config.stem}_{args.split}'
    report = check_dataset(config, args.split, out, images=args.images, seed=args.seed)
    print(f'{report.table()}\n{out}: {", ".join(report.files)}')
    return 1 if report.problems else 0
