"""Makes seeds for weakly supervised segmentation, from images whose classes are known.

    g4seg seeds IMAGES OUT --labels data/VOCdevkit/VOC2012/Annotations --method clip-es --classes classes.txt
    g4seg seeds IMAGES OUT --labels tags.json --method cam --options model=resnet50 weights=res50_cam.pth ...
    torchrun --nproc-per-node 4 -m mmseg_g4seg.cli seeds IMAGES OUT ... --device cuda

OUT gets one file per image, in the format of the method's authors. Refine them by
`g4seg refine-masks IMAGES OUT REFINED --format FORMAT`. --labels says which classes each image shows. It is a JSON of
names by image, or a folder with one file per image: class names in .txt, VOC's annotations in .xml, or label maps in
.png. After a kill the same command resumes the run.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmseg_g4seg.coarse import source_methods
from mmseg_g4seg.hosts.seeds.run import make_seeds
from mmseg_g4seg.hosts.seeds.task import SeedsTask
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.formats import FORMATS

from .interrupt import interruptible
from .key_values import key_value


@interruptible('the same command goes on where it stopped')
def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool with the given arguments, the command line's by default; returns the exit code."""
    args = build_parser().parse_args(arguments)
    try:
        report = make_seeds(build_task(args), workers=args.workers, overwrite=args.overwrite)
    except (OSError, ValueError, RuntimeError, ArithmeticError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    if report:
        print(report['summary'])
    return 1 if report.get('errors') else 0


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, help='folder of images')
    parser.add_argument('out', type=Path, help='folder of the seeds')
    parser.add_argument(
        '--labels', type=Path, required=True, help='the classes that each image shows, a JSON file or a folder'
    )
    parser.add_argument(
        '--method', type=str.lower, choices=sorted(source_methods()), default='clip-es', help='default: clip-es'
    )
    parser.add_argument(
        '--classes',
        required=True,
        help="file of one class per line, synonyms with ', ' between; or the names with commas",
    )
    parser.add_argument('--background', help="class that no label names; default: the one called 'background'")
    parser.add_argument(
        '--names', type=Path, help='file that lists the names of the images to use; default: all images'
    )
    parser.add_argument('--format', choices=FORMATS, help="format of the seeds; default: that of the method's authors")
    parser.add_argument(
        '--options',
        nargs='+',
        type=key_value,
        default=[],
        metavar='KEY=VALUE',
        help='options of the method, such as alpha=2',
    )
    parser.add_argument('--workers', type=int, default=1, help='number of processes; not under torchrun')
    parser.add_argument('--device', default='cpu', help="'cuda' for a GPU; under torchrun, one GPU per process")
    parser.add_argument(
        '--threads', type=int, default=1, help='CPU threads per process; another number changes the last bits'
    )
    parser.add_argument('--overwrite', action='store_true', help='start again from the first image')
    return parser


def build_task(args: argparse.Namespace) -> SeedsTask:
    """What the arguments ask for.

    Raises:
        OSError: if a file is missing.
        ValueError: if arguments do not fit.
    """
    classes, options = read_classes(args.classes, background=args.background, with_synonyms=True), dict(args.options)
    if args.method == 'cam':  # its outputs are the data set's classes, unless the user says otherwise
        options.setdefault('names', [name for c, name in enumerate(classes) if c != classes.background])
    return SeedsTask(
        images=args.images,
        tags=args.labels,
        out=args.out,
        classes=classes,
        source={**source_methods()[args.method], **options},
        names=args.names,
        output_format=args.format,
        device=args.device,
        threads=args.threads,
    )
