"""NightCity's label files, `_labelIds` to `_trainIds`.

    python tools/dataset_converters/nightcity.py data/nightcity/NightCity-label/label data/nightcity/trainIds

LABELS has a folder a split, with NAME_labelIds.png; the results are OUT/{train,val}/NAME_trainIds.png. The
training file in the validation list is left out there. Called again after a kill it goes on. The exit code is
1 where a file could not be converted; each is named.
"""

import argparse
import sys
from pathlib import Path

from mmseg_g4seg.hosts.mmseg.converters.batch import summary_text
from mmseg_g4seg.hosts.mmseg.converters.nightcity import RAW_SUFFIX, convert_nightcity
from mmseg_g4seg.hosts.mmseg.datasets.cityscapes_ids import CLASSES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('labels', type=Path, help='folder with a folder a split')
    parser.add_argument('out', type=Path, help='folder of the results')
    parser.add_argument('--splits', nargs='+', default=['train', 'val'])
    parser.add_argument('--suffix', default=RAW_SUFFIX, help='of the label files; releases differ')
    parser.add_argument('--workers', type=int, default=1, help='processes')
    parser.add_argument('--overwrite', action='store_true', help='convert anew what is there')
    args = parser.parse_args()
    try:
        summary = convert_nightcity(
            args.labels,
            args.out,
            splits=tuple(args.splits),
            suffix=args.suffix,
            workers=args.workers,
            overwrite=args.overwrite,
        )
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    print(summary_text(summary, CLASSES))
    return 1 if summary.failures else 0


if __name__ == '__main__':
    sys.exit(main())
