"""Runs the experiments of the paper's tables, in a clone; the same as `python -m projects.reproduction`.

    g4seg reproduce                        # lists the tables
    g4seg reproduce supervised --dry-run   # what the table's runs need, and what is there
    g4seg reproduce supervised             # does the runs that are possible

--help lists the other arguments. The wheel does not contain the projects.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .interrupt import interruptible

CLONE = Path(__file__).parents[2]


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes: all of it goes on to the project, `--help` too."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False
    )
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help='of python -m projects.reproduction')
    return parser


@interruptible()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    arguments = sys.argv[1:] if argv is None else argv
    if not (CLONE / 'projects' / 'reproduction').is_dir():
        print('error: expected a clone of the repository, whose projects/reproduction this runs', file=sys.stderr)
        return 1
    # a process: the package imports no project. Data sets are looked for where the user stands
    path = os.pathsep.join(filter(None, [str(CLONE), os.environ.get('PYTHONPATH')]))
    command = [sys.executable, '-m', 'projects.reproduction', *arguments]
    return subprocess.run(command, env={**os.environ, 'PYTHONPATH': path}, check=False).returncode
