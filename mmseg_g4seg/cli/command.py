"""The command `g4seg`: runs the tool that its first argument names, and imports none before.

    g4seg --help
    g4seg test CONFIG CHECKPOINT
    torchrun --nproc-per-node 4 -m mmseg_g4seg.cli refine-masks IMAGES MASKS OUT ...

A tool is a module of this folder with a function `main`: `refine_masks.py` is `g4seg refine-masks`.
"""

import ast
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path

from .interrupt import INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given; returns the exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    known = tools()
    if not argv or argv[0] in ('-h', '--help'):
        print(_help(known))
        return 0
    if argv[0] == '--version':
        print(f'mmseg_g4seg {import_module("mmseg_g4seg").__version__}')
        return 0
    name, *arguments = argv
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f'did you mean {close[0]!r}?' if close else f'expected one of {", ".join(known)}'
        print(f'g4seg: there is no tool {name!r}: {hint}', file=sys.stderr)
        return 2
    # what argparse calls the program in its usage line
    sys.argv = [f'g4seg {name}', *arguments]
    return run(name, arguments)


def run(tool: str, argv: Sequence[str] | None = None, *, function: str = 'main') -> int:
    """Imports a tool and runs it.

    Args:
        tool: a name of `tools`.
        argv: its arguments; those of the process when not given.
        function: of its module, where the module has several commands.

    Returns:
        The exit code.
    """
    with _ended_by_interrupt():
        command = getattr(import_module(f'.{tool.replace("-", "_")}', __package__), function)
    return int(command(argv))


def tools() -> dict[str, str]:
    """Names of the tools, each with a sentence on what it does; read from their files, so that nothing is imported."""
    found = {}
    for file in sorted(Path(__file__).parent.glob('*.py')):
        if file == Path(__file__):
            continue
        tree = ast.parse(file.read_text(encoding='utf-8'))
        if any(isinstance(node, ast.FunctionDef) and node.name == 'main' for node in tree.body):
            paragraph = (ast.get_docstring(tree) or '').partition('\n\n')[0]
            found[file.stem.replace('_', '-')] = re.split(r'(?<=[.:;]) ', ' '.join(paragraph.split()))[0].rstrip('.:;')
    return found


def _help(known: dict[str, str]) -> str:
    width = max(map(len, known))
    lines = [f'  {name:{width}}  {sentence}' for name, sentence in known.items()]
    return '\n'.join(
        [
            'usage: g4seg TOOL [arguments]',
            '',
            'Refines segmentation masks with a text-to-image diffusion model.',
            '',
            *lines,
            '',
            'g4seg TOOL --help lists the arguments of a tool. g4seg --version prints the version.',
        ]
    )


@contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Ctrl-C within it ends the process at once, with a line.

    No KeyboardInterrupt: while libraries look for optional parts they catch whatever comes, and the command would go
    on, or end with an error about a part of torch that is half imported.
    """

    def end(*_: object) -> None:
        sys.stderr.write('interrupted\n')
        sys.stderr.flush()
        os._exit(INTERRUPTED)

    previous = signal.getsignal(signal.SIGINT)
    # ignored by whoever started this, as shells do for jobs in the background of a script: so it stays
    if previous is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
