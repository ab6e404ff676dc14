"""Writes the procedural scenes of the demo: python -m projects.demo.make_scenes data/scenes train=400 val=100."""

import argparse
from pathlib import Path

from tqdm import tqdm

from projects.demo.scenes.folder import write_split


def parse_split(text: str) -> tuple[str, int]:
    name, _, count = text.partition('=')
    if not name or not count.isdigit():
        raise argparse.ArgumentTypeError(f'expected SPLIT=COUNT, such as val=100, got {text!r}')
    return name, int(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='root of the data set')
    parser.add_argument('splits', type=parse_split, nargs='+', metavar='SPLIT=COUNT')
    parser.add_argument('--size', type=int, default=128, help='side of a scene in pixels')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    for split, count in args.splits:
        list(tqdm(write_split(args.folder, split, count, size=args.size, seed=args.seed), split, total=count))


if __name__ == '__main__':
    main()
