"""Arguments of the data set converters, `tools/dataset_converters/*.py`: one function a data set."""

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

        python tools/dataset_converters/coco_object.py data/coco/annotations data/coco_object/annotations

    ANNOTATIONS has instances_{train,val}2017.json; the results are OUT/{train,val}2017/NAME_instanceTrainIds.png.
    What is drawn over what, and how crowds count: mmseg_g4seg/hosts/mmseg/converters/coco_object.py. Needs the extra
    `coco`. Called again after a kill it goes on. The exit code is 1 where an image could not be converted; each is
    named.
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

        python tools/dataset_converters/nightcity.py data/nightcity/NightCity-label/label data/nightcity/trainIds

    LABELS has a folder a split, with NAME_labelIds.png; the results are OUT/{train,val}/NAME_trainIds.png. The
    training file in the validation list is left out there. Called again after a kill it goes on. The exit code is
    1 where a file could not be converted; each is named.
    """
    parser = _parser(nightcity)
    parser.add_argument('labels', type=Path, help='folder with a folder a split')
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

        python tools/dataset_converters/pascal_context.py trainval labels.txt data/VOCdevkit/VOC2010

    MATS has NAME.mat, LABELS is the release's labels.txt. The results are DEVKIT/SegmentationClassContext/NAME.png
    and DEVKIT/ImageSets/SegmentationContext/{train,val}.txt, from the lists in DEVKIT/ImageSets/Main. Needs the extra
    `mat`. Called again after a kill it goes on. The exit code is 1 where a file could not be converted; each is named.
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


def _parser(command: Callable[..., int]) -> argparse.ArgumentParser:
    """A parser with what all have in common, and the command's docstring as its help."""
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(command), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--workers', type=int, default=1, help='processes')
    parser.add_argument('--overwrite', action='store_true', help='convert anew what is there')
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
