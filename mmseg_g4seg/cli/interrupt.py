"""Ctrl-C ends a command with a line, not with a traceback."""

import sys
from collections.abc import Callable, Sequence
from functools import wraps

INTERRUPTED = 130
"""Exit code, by the shells' convention: 128 and the signal's number."""

Command = Callable[[Sequence[str] | None], int]


def interruptible(then: str = '') -> Callable[[Command], Command]:
    """Decorates a command.

    Args:
        then: what may be done next, behind the word 'interrupted'.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(argv: Sequence[str] | None = None) -> int:
            try:
                return command(argv)
            except KeyboardInterrupt:
                print(f'interrupted{then and "; " + then}', file=sys.stderr)
                return INTERRUPTED

        return run

    return decorate
