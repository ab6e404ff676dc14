"""Trains an mmseg model with mmengine's Runner.

g4seg train CONFIG [--work-dir DIR] [--resume]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_g4seg.io.config_files import find_shipped

from .config_options import ConfigOptions
from .interrupt import interruptible


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file; mmseg_g4seg::FOLDER/NAME.py for one of this package')
    parser.add_argument('--work-dir', help='folder for logs and checkpoints')
    parser.add_argument('--resume', action='store_true', help='resume from the last checkpoint in the work folder')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='settings to override, key=value')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    return parser


@interruptible('--resume goes on from the last checkpoint')
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    args = build_parser().parse_args(argv)
    config = Config.fromfile(find_shipped(args.config) or args.config)
    config.merge_from_dict(args.cfg_options or {})
    config.launcher, config.resume = args.launcher, args.resume
    config.work_dir = args.work_dir or config.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    Runner.from_cfg(config).train()
    return 0
