"""Strips an mmengine checkpoint to weights and class names: publish_checkpoint.py IN.pth OUT.pth."""

import argparse
from pathlib import Path

import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path)
    args = parser.parse_args()
    checkpoint = torch.load(args.source, map_location='cpu', weights_only=False)
    meta = checkpoint['meta']['dataset_meta']
    kept = {key: [list(v) if not isinstance(v, str) else v for v in meta[key]] for key in ('classes', 'palette')}
    torch.save({'state_dict': dict(checkpoint['state_dict']), 'meta': {'dataset_meta': kept}}, args.target)


if __name__ == '__main__':
    main()
