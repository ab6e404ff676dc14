"""Checks that a run of the demo has the README's figures: python .ci/same_table.py METRICS.json README.md.

To 0.05 of mIoU: torch's kernels differ in the last bits between versions, and a pixel on the edge between two classes
then changes sides.
"""

import json
import re
import sys
from pathlib import Path

TOLERANCE = 0.05


def main(metrics: str, readme: str) -> int:
    """Compares mean IoU, coarse and refined; the exit code is 1 where they differ."""
    report = json.loads(Path(metrics).read_text())
    row = re.search(r'^\| demo:[^|]*\| (\d+\.\d+) \| (\d+\.\d+)', Path(readme).read_text(), re.MULTILINE)
    if row is None:
        print(f"{readme}: expected a row '| demo: ... | COARSE | REFINED', found none", file=sys.stderr)
        return 1
    faults = 0
    for stage, expected in zip(('coarse', 'refined'), map(float, row.groups()), strict=True):
        found = report[stage]['mIoU']
        fits = abs(found - expected) <= TOLERANCE
        print(f'{stage} mIoU: {found:.2f}, {readme} has {expected:.2f}{"" if fits else ": differs"}')
        faults += not fits
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
