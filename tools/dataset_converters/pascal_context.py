"""PASCAL-Context's .mat files of 459 classes to label maps of 59 classes and background.

    python tools/dataset_converters/pascal_context.py trainval labels.txt data/VOCdevkit/VOC2010

MATS has NAME.mat, LABELS is the release's labels.txt. The results are DEVKIT/SegmentationClassContext/NAME.png and
DEVKIT/ImageSets/SegmentationContext/{train,val}.txt, from the lists in DEVKIT/ImageSets/Main. Needs the extra `mat`.
Called again after a kill it goes on. The exit code is 1 where a file could not be converted; each is named.
"""

import argparse
import sys
from pathlib import Path

from mmseg_g4seg.hosts.mmseg.converters.batch import summary_text
from mmseg_g4seg.hosts.mmseg.converters.pascal_context import CLASSES, convert_pascal_context


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('mats', type=Path, help='folder with NAME.mat')
    parser.add_argument('labels', type=Path, help="the release's labels.txt")
    parser.add_argument('devkit', type=Path, help='folder VOCdevkit/VOC2010')
    parser.add_argument('--workers', type=int, default=1, help='processes')
    parser.add_argument('--overwrite', action='store_true', help='convert anew what is there')
    args = parser.parse_args()
    try:
        summary = convert_pascal_context(
            args.mats, args.labels, args.devkit, workers=args.workers, overwrite=args.overwrite
        )
    except (OSError, ValueError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(summary_text(summary, ('background', *CLASSES)))
    return 1 if summary.failures else 0


if __name__ == '__main__':
    sys.exit(main())
