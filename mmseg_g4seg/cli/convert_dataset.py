"""Converts the labels of a data set to label maps of class indices.

g4seg convert-dataset nightcity --help
"""

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mmseg_g4seg.hosts.mmseg.converters import coco_object as coco
from mmseg_g4seg.hosts.mmseg.converters import nightcity as night
from mmseg_g4seg.hosts.mmseg.converters import pascal_context as context
from mmseg_g4seg.hosts.mmseg.converters.batch import Summary, summary_text
from mmseg_g4seg.hosts.mmseg.datasets.cityscapes_ids import CLASSES
from mmseg_g4seg.hosts.mmseg.datasets.coco_names import OBJECT_CLASSES

from .interrupt import interruptible


@interruptible('the same command goes on where it stopped')
def coco_object(argv: Sequence[str] | None = None) -> int:
    """COCO's instance annotations to COCO-Object's label maps of 81 classes.

        g4seg convert-dataset coco-object data/coco/annotations data/coco_object/annotations

    ANNOTATIONS has instances_{train,val}2017.json; the results are OUT/{train,val}2017/NAME_instanceTrainIds.png.
    The order of drawing, and the rule for crowds, are in mmseg_g4seg/hosts/mmseg/converters/coco_object.py. Needs the
    extra `coco`. After a kill the same command resumes. Images that could not be converted are named, and the exit code
    is then 1.
    """
    parser = _parser(coco_object)
    parser.add_argument('annotations', type=Path, help='folder with instances_SPLIT.json')
    parser.add_argument('out', type=Path, help='folder of the results')
    parser.add_argument('--splits', nargs='+', default=['train2017', 'val2017'])
    args = parser.parse_args(argv)
    run = {'workers': args.workers, 'overwrite': args.overwrite}
    return _report(
        lambda: coco.convert_coco_object(args.annotations, args.out, splits=tuple(args.splits), **run), OBJECT_CLASSES
    )


@interruptible('the same command goes on where it stopped')
def nightcity(argv: Sequence[str] | None = None) -> int:
    """NightCity's label files, `_labelIds` to `_trainIds`.

        g4seg convert-dataset nightcity data/nightcity/NightCity-label/label data/nightcity/trainIds

    LABELS has one folder per split, with NAME_labelIds.png; the results are OUT/{train,val}/NAME_trainIds.png. The
    training image in the validation list is dropped. After a kill the same command resumes. Files that could not be
    converted are named, and the exit code is then 1.
    """
    parser = _parser(nightcity)
    parser.add_argument('labels', type=Path, help='folder with one folder per split')
    parser.add_argument('out', type=Path, help='folder of the results')
    parser.add_argument('--splits', nargs='+', default=['train', 'val'])
    parser.add_argument('--suffix', default=night.RAW_SUFFIX, help='of the label files; releases differ')
    args = parser.parse_args(argv)
    run = {'workers': args.workers, 'overwrite': args.overwrite}
    splits = tuple(args.splits)
    return _report(
        lambda: night.convert_nightcity(args.labels, args.out, splits=splits, suffix=args.suffix, **run), CLASSES
    )


@interruptible('the same command goes on where it stopped')
def pascal_context(argv: Sequence[str] | None = None) -> int:
    """PASCAL-Context's .mat files of 459 classes to label maps of 59 classes and background.

        g4seg convert-dataset pascal-context trainval labels.txt data/VOCdevkit/VOC2010

    MATS has NAME.mat, LABELS is the release's labels.txt. The results are DEVKIT/SegmentationClassContext/NAME.png
    and DEVKIT/ImageSets/SegmentationContext/{train,val}.txt, from the lists in DEVKIT/ImageSets/Main. Needs the extra
    `mat`. After a kill the same command resumes. Files that could not be converted are named, and the exit code is
    then 1.
    """
    parser = _parser(pascal_context)
    parser.add_argument('mats', type=Path, help='folder with NAME.mat')
    parser.add_argument('labels', type=Path, help="the release's labels.txt")
    parser.add_argument('devkit', type=Path, help='folder VOCdevkit/VOC2010')
    args = parser.parse_args(argv)
    run = {'workers': args.workers, 'overwrite': args.overwrite}
    return _report(
        lambda: context.convert_pascal_context(args.mats, args.labels, args.devkit, **run),
        ('background', *context.CLASSES),
    )


CONVERTERS = {'coco-object': coco_object, 'nightcity': nightcity, 'pascal-context': pascal_context}
"""By the name of the data set."""


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dataset', choices=CONVERTERS, help='data set')
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help="the converter's own, which its --help lists")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    args = build_parser().parse_args(argv)
    # what argparse calls the program in its usage line
    sys.argv = [f'{Path(sys.argv[0]).name} {args.dataset}', *args.arguments]
    return CONVERTERS[args.dataset](args.arguments)


def _parser(command: Callable[..., int]) -> argparse.ArgumentParser:
    """A parser with what all have in common, and the command's docstring as its help."""
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(command), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--workers', type=int, default=1, help='number of processes')
    parser.add_argument('--overwrite', action='store_true', help='convert again what is there')
    return parser


def _report(convert: Callable[[], Summary], class_names: Sequence[str]) -> int:
    """Converts and prints what was done; the exit code."""
    try:
        summary = convert()
    except (OSError, ValueError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(summary_text(summary, class_names))
    return 1 if summary.failures else 0
