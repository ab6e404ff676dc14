"""COCO's instance annotations to COCO-Object's label maps of 81 classes.

    python tools/dataset_converters/coco_object.py data/coco/annotations data/coco_object/annotations

ANNOTATIONS has instances_{train,val}2017.json; the results are OUT/{train,val}2017/NAME_instanceTrainIds.png.
What is drawn over what, and how crowds count: mmseg_g4seg/converters/coco_object.py. Needs the extra `coco`.
Called again after a kill it goes on. The exit code is 1 where an image could not be converted; each is named.
"""

import argparse
import sys
from pathlib import Path

from mmseg_g4seg.hosts.mmseg.converters.batch import summary_text
from mmseg_g4seg.hosts.mmseg.converters.coco_names import OBJECT_CLASSES
from mmseg_g4seg.hosts.mmseg.converters.coco_object import convert_coco_object


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', type=Path, help='folder with instances_SPLIT.json')
    parser.add_argument('out', type=Path, help='folder of the results')
    parser.add_argument('--splits', nargs='+', default=['train2017', 'val2017'])
    parser.add_argument('--workers', type=int, default=1, help='processes')
    parser.add_argument('--overwrite', action='store_true', help='convert anew what is there')
    args = parser.parse_args()
    try:
        summary = convert_coco_object(
            args.annotations, args.out, splits=tuple(args.splits), workers=args.workers, overwrite=args.overwrite
        )
    except (OSError, ValueError, ImportError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(summary_text(summary, OBJECT_CLASSES))
    return 1 if summary.failures else 0


if __name__ == '__main__':
    sys.exit(main())
