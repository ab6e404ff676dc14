"""Measures how well a prior's cross-attention says where a class is.

    python -m projects.experiments.attention --prior tiny --images data/scenes/images/val \
        --labels data/scenes/labels/val --classes data/scenes/classes.txt --size 128 128

Prints a table, a row a class and a column a level: IoU in per cent at the best threshold and at Otsu's, and the area
under the ROC curve (0.5 is chance).
"""

import argparse
import json
from pathlib import Path

import torch
from tqdm import tqdm

from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.images import find_images, read_image
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.ops.masks import resize_maps
from projects.experiments.attention.measure import Case, Tally, measure_image, summarise, table


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--prior', default='tiny', help='name or folder')
    parser.add_argument('--images', type=Path, required=True)
    parser.add_argument('--labels', type=Path, required=True, help='index PNGs')
    parser.add_argument('--classes', type=Path, required=True, help='names, one a line')
    parser.add_argument('--size', type=int, nargs=2, default=(128, 128), metavar=('H', 'W'))
    parser.add_argument('--timesteps', type=int, nargs='+', default=[100])
    parser.add_argument('--count', type=int, help='at most so many images')
    parser.add_argument('--out', type=Path, help='JSON with the figures of each class')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    prior, names = load_prior(args.prior), read_classes(str(args.classes)).labels
    tallies: dict[Case, Tally] = {}
    images = find_images(args.images)
    for name in tqdm(sorted(images)[: args.count], leave=False):
        image = resize_maps(read_image(images[name][0]), args.size)
        labels = read_index_png(args.labels / f'{name}.png', len(names))
        labels = torch.nn.functional.interpolate(labels[None, None].float(), tuple(args.size))[0, 0].long()
        measure_image(prior, image, labels, names, timesteps=args.timesteps, key=name, tallies=tallies)
    report = summarise(tallies, names)
    if args.out is not None:
        atomic_write(args.out, json.dumps(report, indent=1) + '\n')
    print('\n'.join(table(report)))


if __name__ == '__main__':
    main()
