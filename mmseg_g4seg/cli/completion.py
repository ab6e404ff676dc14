"""Prints the completion script of `g4seg` for a shell.

    g4seg completion bash > ~/.local/share/bash-completion/completions/g4seg
    g4seg completion zsh > ~/.zsh/completions/_g4seg     # a folder of fpath

The script is a static file, so that pressing Tab imports nothing. Write it again after an upgrade. Needs the extra
`completion`.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .command import tools
from .interrupt import interruptible

SHELLS = ('bash', 'zsh', 'tcsh')


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('shell', choices=SHELLS, help='shell to write the script for')
    return parser


@interruptible()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    args = build_parser().parse_args(argv)
    try:
        import shtab
    except ImportError:
        print('error: completion needs shtab: pip install "mmseg_g4seg[completion]"', file=sys.stderr)
        return 1
    root = argparse.ArgumentParser('g4seg', description='Refines segmentation masks with a diffusion model.')
    root.add_argument('--version', action='store_true', help='which version this is')
    commands = root.add_subparsers()
    for name, sentence in tools().items():
        parents = _parsers_of(name, shtab.FILE)
        commands.add_parser(name, parents=parents, add_help=not parents, help=sentence)
    print(shtab.complete(root, args.shell))
    return 0


def _parsers_of(tool: str, files: object) -> list[argparse.ArgumentParser]:
    """A tool's parser, whose paths complete to files; none where the tool cannot be imported here."""
    try:
        parser = import_module(f'.{tool.replace("-", "_")}', __package__).build_parser()
    except (ImportError, AttributeError):  # a host that is not installed; a tool whose parser cannot be had
        return []
    assert isinstance(parser, argparse.ArgumentParser)
    for action in parser._actions:
        # what is declared as text may be a file, too: `test CONFIG`, `--refiner tiny`
        if action.type is Path or (action.nargs != 0 and action.choices is None and action.type is None):
            vars(action)['complete'] = files  # by which shtab knows: argparse's own actions have no such attribute
        if action.choices is not None and not isinstance(action, argparse._SubParsersAction):
            # shtab takes a dict of choices for subcommands
            action.choices = list(action.choices)
    return [parser]
