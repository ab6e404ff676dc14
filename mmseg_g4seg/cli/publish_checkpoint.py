"""Reduces an mmengine checkpoint to weights, class names and colours.

g4seg publish-checkpoint IN.pth OUT.pth
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch

from mmseg_g4seg.io.atomic import atomic_file

from .interrupt import interruptible


def build_parser() -> argparse.ArgumentParser:
    """What the tool takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='checkpoint of a training')
    parser.add_argument('target', type=Path, help='file to write')
    return parser


@interruptible()
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    args = build_parser().parse_args(argv)
    try:
        checkpoint = torch.load(args.source, map_location='cpu', weights_only=False)
        meta = checkpoint['meta']['dataset_meta']
        # tuples, as in METAINFO of data sets and so in mmseg's own checkpoints
        kept = {
            'classes': tuple(name if isinstance(name, str) else tuple(name) for name in meta['classes']),
            'palette': [list(colour) for colour in meta['palette']],
        }
        # not a copy as a plain dict, which loses the versions by which heads migrate old weights
        published = {'state_dict': checkpoint['state_dict'], 'meta': {'dataset_meta': kept}}
    except (OSError, KeyError, TypeError, RuntimeError, UnpicklingError, EOFError) as error:
        print(f'error: {args.source}: expected a checkpoint of an mmengine training, got {error!r}', file=sys.stderr)
        return 1
    try:
        with atomic_file(args.target) as file:
            torch.save(published, file)
    except OSError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0
