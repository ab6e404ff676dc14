"""Refines a folder of masks or scores.

    g4seg refine-masks IMAGES MASKS OUT --classes classes.txt --format npz
    g4seg refine-masks IMAGES MASKS OUT --object dog --format binary-png --refiner tiny
    torchrun --nproc-per-node 4 -m mmseg_g4seg.cli refine-masks IMAGES MASKS OUT ... --device cuda
    g4seg refine-masks s3://BUCKET/images s3://BUCKET/masks s3://BUCKET/out ... --ray auto --workers 8 --device cuda
    g4seg refine-masks IMAGES - OUT --coarse sclip --classes classes.txt

Every mask is named after its image; with --coarse a source makes the masks. After a kill the same command resumes
the run; a local file that is newer than its result is refined again. A file that cannot be used is listed in
OUT/report.json with the reason. The run continues, and the exit code is 1 at the end. It is also 1 if subfolders of
MASKS hold masks, which are not read. OUT/table.txt has the pixels of every class before and after, and with
--labels the IoU.
"""

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, cast, get_args

from mmseg_g4seg.coarse import source_methods
from mmseg_g4seg.hosts.arrays import read_refiner_config
from mmseg_g4seg.hosts.folder.run import refine_folder
from mmseg_g4seg.hosts.folder.task import FolderTask
from mmseg_g4seg.io.background_rule import BackgroundRule, RuleName
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.formats import FORMATS, LABELS, SCORES, SEEDS, Reading
from mmseg_g4seg.io.storage import open_path
from mmseg_g4seg.ops.masks import BORDER_WIDTH
from mmseg_g4seg.ops.scores import ScoreType
from mmseg_g4seg.prediction import ClassList

from .interrupt import interruptible
from .key_values import key_value
from .process_options import add_process_options


@interruptible('the same command goes on where it stopped')
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool with the given arguments, the command line's by default; returns the exit code."""
    args = parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')  # file names need not be valid text
    try:
        report = _refine(args)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if report:
        print(report['table'])
    return 1 if report.get('errors') or report.get('nested_masks') else 0


def _refine(args: argparse.Namespace) -> dict[str, Any]:
    options = dict(workers=args.workers, strict=args.strict, overwrite=args.overwrite)
    if args.ray is None:
        return refine_folder(build_task(args), **options)
    from mmseg_g4seg.hosts.ray_data.folder import refine_folder_on_cluster

    return refine_folder_on_cluster(build_task(args), address=args.ray, batch_size=args.batch_size, **options)


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', help='folder of images; every folder may be s3://… or gs://…')
    parser.add_argument('masks', help="folder of masks or scores, named after their images; '-' with --coarse")
    parser.add_argument('out', help='folder of the refined masks')
    _add_classes(parser)
    _add_reading(parser)
    parser.add_argument('--refiner', default='tiny', help="'tiny' (default), a config file, or the folder of a prior")
    parser.add_argument('--out-format', choices=FORMATS, help='format of the refined masks; default: as --format')
    parser.add_argument('--labels', help='folder of true labels (index PNGs), for IoU before and after')
    parser.add_argument('--fiftyone', type=Path, metavar='DIR', help='folder to export all masks to, for FiftyOne')
    add_process_options(parser)
    parser.add_argument(
        '--batch-size', type=int, default=8, help='images per task of the cluster; does not change results'
    )
    parser.add_argument('--megapixels', type=float, help="largest image to open; default: Pillow's limit, 178")
    parser.add_argument('--strict', action='store_true', help='stop at the first error')
    parser.add_argument('--overwrite', action='store_true', help='start again from the first image')
    return parser


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line; ends the process where it is wrong."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.format is None and args.object is None and args.coarse is None:
        parser.error('--format is needed beside --classes')
    if (args.coarse is None) is (args.masks == '-'):
        parser.error("a folder of masks or, with --coarse, '-' in its place is needed")
    given = {name for name in vars(args) if getattr(args, name) != parser.get_default(name)}
    if unread := sorted(given & _unread(args)):
        parser.error(f'--{unread[0].replace("_", "-")} would not be read: {_WHERE[unread[0]]}')
    return args


_WHERE = {
    'any_size': 'masks of scores alone may lie on another grid',
    'background': 'the masks of --object have their own',
    'background_rule': 'seeds alone have one',
    'batch_size': 'it is of a run with --ray',
    'coarse_options': 'they are of a run with --coarse',
    'palette': 'the masks of --object have their own',
    'present_only': 'it is of npz and npy in MASKS',
    'score_type': 'it is of npz and npy in MASKS',
    'soften': 'it is of labels in MASKS',
}
"""Options that not every run reads, and which runs do."""


def _unread(args: argparse.Namespace) -> set[str]:
    """Options that this run would pass over: `--score-type logits` beside a forgotten `--format npz`."""
    masks = None if args.coarse else args.format or 'binary-png'
    read = {'background', 'palette'} if args.object is None else set()
    if masks in SCORES:
        read |= {'score_type', 'present_only', 'any_size'}
    if masks in SEEDS:
        read.add('any_size')
    if masks in LABELS:
        read.add('soften')
    if {args.format, args.out_format} & SEEDS.keys():
        read.add('background_rule')
    if args.coarse is not None:
        read.add('coarse_options')
    if args.ray is not None:
        read.add('batch_size')
    return _WHERE.keys() - read


def build_task(args: argparse.Namespace) -> FolderTask:
    """What the arguments ask for.

    Raises:
        OSError: if a file or folder is missing.
        ValueError: if arguments do not fit.
    """
    if args.object is not None:
        classes = ClassList(['background', args.object], background=0)
    else:
        classes = read_classes(args.classes, background=args.background, palette=args.palette)
    coarse = None if args.coarse is None else {**source_methods()[args.coarse], **dict(args.coarse_options)}
    return FolderTask(
        images=open_path(args.images),
        masks=open_path(args.masks) if coarse is None else None,
        out=open_path(args.out),
        refiner=read_refiner_config(args.refiner),
        classes=classes,
        reading=Reading(
            args.format or ('binary-png' if args.object else args.out_format or 'index-png'),
            score_type=args.score_type,
            rule=args.background_rule,
            soften=args.soften,
            any_size=args.any_size,
            present_only=args.present_only,
        ),
        output_format=args.out_format,
        truth=None if args.labels is None else open_path(args.labels),
        device=args.device,
        threads=args.threads,
        fiftyone=args.fiftyone,
        coarse=coarse,
        megapixels=args.megapixels,
    )


def _add_classes(parser: argparse.ArgumentParser) -> None:
    named = parser.add_mutually_exclusive_group(required=True)
    named.add_argument('--classes', help='file of class names, one per line, or the names with commas between')
    named.add_argument('--object', help='name of the one object that binary masks show')
    parser.add_argument('--background', help="class that is never refined; default: the one called 'background'")
    parser.add_argument('--palette', type=Path, help="file of colours, one 'R G B' per line; default: VOC's")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--coarse', type=str.lower, choices=sorted(source_methods()), help='source that makes the masks'
    )
    parser.add_argument(
        '--coarse-options',
        nargs='+',
        type=key_value,
        default=[],
        metavar='KEY=VALUE',
        help='options of the source, such as prior=tiny',
    )
    parser.add_argument('--format', choices=FORMATS, help='format of the masks; default with --object: binary-png')
    parser.add_argument(
        '--score-type',
        choices=get_args(ScoreType),
        default='softmax',
        help='what npz and npy files hold; default: softmax',
    )
    parser.add_argument(
        '--background-rule',
        type=_background_rule,
        default=BackgroundRule(),
        metavar='RULE',
        help='background of seeds: power:ALPHA for (1 - max)^ALPHA, or threshold:SHARE; default: power:1',
    )
    parser.add_argument(
        '--soften',
        type=float,
        default=BORDER_WIDTH,
        help='width of the blur that makes probabilities of labels, as a share of the longer side',
    )
    parser.add_argument(
        '--present-only',
        action='store_true',
        help='keep only the scores of classes in the mask, to save memory and time',
    )
    parser.add_argument('--any-size', action='store_true', help='accept scores of another size than the image')


def _background_rule(text: str) -> BackgroundRule:
    name, _, value = text.partition(':')
    try:
        return BackgroundRule(cast(RuleName, name), float(value))  # which checks it
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'expected power:ALPHA or threshold:SHARE, got {text!r} ({error})') from error
