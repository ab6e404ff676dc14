"""Evaluates an mmseg model before and after refinement. Takes the arguments of mmseg's own script.

g4seg test CONFIG CHECKPOINT [--refiner REFINER.py]
"""

import argparse
import os
from collections.abc import Sequence

from mmengine.config import Config

from mmseg_g4seg.hosts.mmseg.launch.config import Drawing
from mmseg_g4seg.hosts.mmseg.launch.run import evaluate, prepare
from mmseg_g4seg.io.config_files import find_shipped

from .config_options import ConfigOptions
from .interrupt import interruptible


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file; mmseg_g4seg::FOLDER/NAME.py for one of this package')
    parser.add_argument(
        'checkpoint', nargs='?', help='checkpoint of the model without refiner; omit it for saved scores'
    )
    parser.add_argument('--refiner', help='config file of a refiner, to put behind the model of the config')
    parser.add_argument('--score-type', help="what the model's seg_logits hold: logits, softmax, sigmoid or sum")
    parser.add_argument('--work-dir', help='folder for logs, figures and the report page')
    parser.add_argument('--out', help='folder for predicted label maps')
    parser.add_argument('--show', action='store_true', help='show the masks in a window')
    parser.add_argument('--show-dir', help='folder for pictures of the masks')
    parser.add_argument('--fiftyone', metavar='DIR', help='folder to export all masks to, for FiftyOne')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show waits between images')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions, help='settings to override, key=value')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation, refined once')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; ends the process where it is wrong."""
    return build_parser().parse_args(argv)


@interruptible()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    args = parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = Config.fromfile(find_shipped(args.config) or args.config)
    prepare(
        config,
        refiner=args.refiner,
        score_type=args.score_type,
        options=args.cfg_options,
        launcher=args.launcher,
        work_dir=args.work_dir,
        checkpoint=args.checkpoint,
        label_maps=args.out,
        fiftyone=args.fiftyone,
        drawing=Drawing(args.show, args.show_dir, args.wait_time) if args.show or args.show_dir else None,
        tta=args.tta,
    )
    evaluate(config)
    return 0
