"""Evaluates a Detectron2 model before and after refinement, by your own training script.

g4seg detectron2-test TRAIN_NET --config-file FILE --refiner FILE [--num-gpus N] [KEY VALUE ...]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER

from .interrupt import interruptible


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes itself."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Detectron2's own arguments are passed on to the script: --config-file, --num-gpus, KEY VALUE ...",
        # --out, of a script, is not --outputs
        allow_abbrev=False,
    )
    parser.add_argument('script', type=Path, metavar='TRAIN_NET', help="the project's train_net.py")
    parser.add_argument('--refiner', required=True, help="config file of a refiner, the folder of a prior, or 'tiny'")
    parser.add_argument(
        '--score-type',
        default='auto',
        help='what sem_seg holds: logits, softmax, sigmoid or sum; default: auto, by the model',
    )
    parser.add_argument(
        '--outputs',
        default='sem_seg',
        help='outputs to refine, with commas between: sem_seg (default), panoptic_seg, instances',
    )
    parser.add_argument(
        '--soften',
        type=float,
        default=SEGMENT_BORDER,
        help="width of the unsure border of hard segments and instances, as a share of the image's longer side",
    )
    return parser


def parse_args(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """This command's own arguments, and those that go on to the script."""
    return build_parser().parse_known_args(argv)


@interruptible()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    own, rest = parse_args(argv)
    # first: it says how to install Detectron2 where that is missing
    from mmseg_g4seg.hosts.detectron2.launch import Refinement, run_script  # isort: split
    from detectron2.engine import default_argument_parser, launch

    args = default_argument_parser().parse_args(['--eval-only', *rest])
    launch(
        run_script,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(own.script, args, Refinement(own.refiner, own.score_type, tuple(own.outputs.split(',')), own.soften)),
    )
    return 0
