"""Strips an mmengine checkpoint to weights and class names: publish_checkpoint.py IN.pth OUT.pth."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from mmseg_g4seg.io.atomic import atomic_file


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; `argv` are its arguments, those of the process when not given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path)
    args = parser.parse_args(argv)
    checkpoint = torch.load(args.source, map_location='cpu', weights_only=False)
    meta = checkpoint['meta']['dataset_meta']
    kept = {key: [list(v) if not isinstance(v, str) else v for v in meta[key]] for key in ('classes', 'palette')}
    # not a copy as a plain dict, which loses the versions by which heads migrate old weights
    with atomic_file(args.target) as file:
        torch.save({'state_dict': checkpoint['state_dict'], 'meta': {'dataset_meta': kept}}, file)
    return 0
