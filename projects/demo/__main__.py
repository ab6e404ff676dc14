"""Runs the main job on the embedded default; leaves work_dirs/demo/{metrics.json,table.txt,report.html,gallery.png}.

python -m projects.demo [--images 48] [--seeds 0 1 2]
"""

import argparse
import statistics
from pathlib import Path

from projects.demo.run import run_demo

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'projects/demo/configs/segformer-tiny_g4seg-tiny_scenes-128x128.py'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=48, help='number of held-out scenes')
    parser.add_argument('--split', default='val', help='split of the scenes')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0], help='seeds of the noise, one run each')
    parser.add_argument('--folder', type=Path, default=Path('work_dirs/demo'))
    parser.add_argument('--data', type=Path, default=Path('data/scenes'))
    args = parser.parse_args()
    gains = []
    for seed in args.seeds:
        folder = args.folder if len(args.seeds) == 1 else args.folder / f'seed_{seed}'
        report = run_demo(CONFIG, folder, data=args.data, images=args.images, split=args.split, seed=seed)
        gains.append(report['refined']['mIoU'] - report['coarse']['mIoU'])
        print((folder / 'table.txt').read_text())
        print(f'{folder}: metrics.json, table.txt, report.html, gallery.png')
    if len(gains) > 1:
        listed = ', '.join(f'{gain:+.2f}' for gain in gains)
        print(f'mIoU gain over {len(gains)} seeds: {listed}; mean {statistics.mean(gains):+.2f}, '
              f'standard deviation {statistics.stdev(gains):.2f}')  # fmt: skip


if __name__ == '__main__':
    main()
