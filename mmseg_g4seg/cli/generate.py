"""Generates pictures with masks from class names, as training data without photographs or labels.

    g4seg generate --prior tiny --classes classes.txt --count 500 --out data/generated
    torchrun --nproc-per-node 4 -m mmseg_g4seg.cli generate --prior FOLDER --classes cat,dog,background \\
        --count 5000 --out OUT --objects 1-3 --device cuda --prior-options dtype=float16
    g4seg generate ... --out s3://BUCKET/OUT --device cuda --ray auto --workers 8

OUT/images has the pictures. OUT/labels has index PNGs, with 255 where the mask is unsure, and OUT/scores the soft
scores. OUT/manifest.jsonl lists the prompt, seed and classes of each picture. After a kill the same command resumes
the run, and a higher count adds pictures.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from mmseg_g4seg.coarse.attention import AttentionSource
from mmseg_g4seg.hosts.generate.run import generate_folder
from mmseg_g4seg.hosts.generate.task import GenerateTask
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.storage import open_path
from mmseg_g4seg.registry import names_of

from .interrupt import interruptible
from .key_values import key_value, value_of
from .process_options import add_process_options


@interruptible('the same command goes on where it stopped')
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool with the given arguments, the command line's by default; returns the exit code."""
    args = build_parser().parse_args(arguments)
    try:
        report = _generate(args)
    except (OSError, ValueError, RuntimeError, ArithmeticError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if report:
        print(report['table'])
    return 0


def _generate(args: argparse.Namespace) -> dict[str, Any]:
    options = dict(workers=args.workers, overwrite=args.overwrite)
    if args.ray is None:
        return generate_folder(build_task(args), **options)
    from mmseg_g4seg.hosts.ray_data.pairs import generate_folder_on_cluster

    return generate_folder_on_cluster(build_task(args), address=args.ray, **options)


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--prior', required=True, help="'tiny', a folder in diffusers layout, or a hub id")
    parser.add_argument('--classes', required=True, help='file of class names, one per line, or names with commas')
    parser.add_argument('--count', type=int, required=True, help='number of pictures')
    parser.add_argument('--out', required=True, help='folder of the data set; may be s3://… or gs://…')
    parser.add_argument('--background', help="class that no prompt names; default: the one called 'background'")
    parser.add_argument('--objects', type=_least_and_most, default=(1, 1), help='classes in a prompt: 1, or 1-3')
    parser.add_argument('--prompt', help="prompt template; default: the method's, such as 'a photo of {name}'")
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='side of the pictures, or height and width; default: the training size of the prior',
    )
    parser.add_argument('--steps', type=int, help='sampler steps; default: 50, for LCM 4, for flow matching 28')
    parser.add_argument('--guidance', type=float, help='default: 7, or 1 for LCM and FLUX.1')
    parser.add_argument('--seed', type=int, default=0, help='seed of all draws')
    parser.add_argument('--unsure', type=float, default=0.1, help='a pixel is 255 if its best score leads by less')
    scores = 'least score of a class, else background; or rest, or mask (SeeDiff); default: 0.5, or 0.8 after PAMR'
    parser.add_argument('--background-score', type=value_of, metavar='SCORE', help=scores)
    methods = sorted(name.lower() for name in names_of(AttentionSource))
    parser.add_argument(
        '--method', type=str.lower, choices=methods, default='seediff', help='how the attention is read'
    )
    for what in ('prior', 'source'):
        parser.add_argument(
            f'--{what}-options',
            nargs='+',
            type=key_value,
            default=[],
            metavar='KEY=VALUE',
            help=f'options of the {what}',
        )
    add_process_options(parser)
    parser.add_argument('--overwrite', action='store_true', help='start again from the first picture')
    return parser


def build_task(args: argparse.Namespace) -> GenerateTask:
    """What the arguments ask for.

    Raises:
        OSError: if a file is missing.
        ValueError: if arguments do not fit.
    """
    given = {
        'type': next(name for name in names_of(AttentionSource) if name.lower() == args.method),
        'prior': {'source': args.prior, **dict(args.prior_options)},
        'prompt_template': args.prompt,
        'image_size': args.size[0] if args.size and len(args.size) == 1 else args.size,
        'background_score': args.background_score,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if twice := [name for name, _ in args.source_options if name in given]:
        raise ValueError(f'--source-options {twice[0]}: another argument says it already')
    return GenerateTask(
        out=open_path(args.out),
        classes=read_classes(args.classes, background=args.background),
        count=args.count,
        source={**given, **dict(args.source_options)},
        options={
            'objects': args.objects,
            'steps': args.steps,
            'guidance_scale': args.guidance,
            'unsure': args.unsure,
            'seed': args.seed,
        },
        device=args.device,
        threads=args.threads,
    )


def _least_and_most(text: str) -> tuple[int, int]:
    least, _, most = text.partition('-')
    try:
        return int(least), int(most or least)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'expected a number, or two such as 1-3, got {text!r}') from error
