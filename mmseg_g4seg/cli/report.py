"""Writes report.html of a run again, from its metrics.json and report_data.json.

    g4seg report work_dirs/my_run

Every run that compares masks with labels writes this page itself. Use the command if the page was lost, or to redraw it
with another version of the package.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmseg_g4seg.evaluation.files import render_again

from .interrupt import interruptible


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', type=Path, nargs='+', metavar='RUN_DIR', help='folder with the metrics.json of a run')
    return parser


@interruptible()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    args = build_parser().parse_args(argv)
    try:
        for folder in args.runs:
            print(render_again(folder))
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0
