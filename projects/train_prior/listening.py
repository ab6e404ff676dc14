"""Measures how much a prior listens to names: python -m projects.train_prior.listening PRIOR --images ... --labels ...

Prints its error on held-out images without a caption, with one, and with all masks, and how often a true caption has a
lower error than one with a false name, where the class in question is (a coin has 50 %).
"""

import argparse
from pathlib import Path

import torch

from projects.train_prior.batches import VIEWS, LatentSet
from projects.train_prior.captions import draw_caption_doubts
from projects.train_prior.data import TrainingData
from projects.train_prior.denoiser import Denoiser, DenoiserSettings
from projects.train_prior.doubts import doubts_settled
from projects.train_prior.images import load_training_images
from projects.train_prior.prior import warm_start


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('prior', type=Path, help='folder')
    parser.add_argument('--images', type=Path, required=True)
    parser.add_argument('--labels', type=Path, required=True)
    parser.add_argument('--classes', type=Path, required=True)
    parser.add_argument('--size', type=int, nargs=2, default=(128, 128), metavar=('H', 'W'))
    parser.add_argument('--count', type=int, default=16, help='images; 16 times as many captions')
    parser.add_argument('--cross-weight', type=float, default=3.0)
    return parser.parse_args()


@torch.no_grad()
def measure(denoiser: Denoiser, data: LatentSet) -> dict[str, float]:
    """Errors by view, and the share of captions that are told from false ones, in [0, 1]."""
    entries, figures = range(len(data.data)), dict[str, float]()
    for view in VIEWS:
        batch = data.assemble(entries, [0] * len(entries), [view] * len(entries), torch.Generator().manual_seed(1))
        figures[view] = denoiser.error(batch, torch.Generator().manual_seed(0)).item()
    generator = torch.Generator().manual_seed(2)
    shares = []
    for _ in range(4):
        doubts = draw_caption_doubts(data, len(entries), generator)
        shares.append(doubts_settled(denoiser.doubt_errors(doubts, generator), doubts.truth))
    return {**figures, 'true captions': sum(shares) / len(shares)}


def main() -> None:
    args = parse_args()
    classes = TrainingData(args.images, args.classes).class_names()
    images = load_training_images(args.images, classes, size=tuple(args.size), labels=args.labels)
    parts = warm_start(args.prior, classes)
    denoiser = Denoiser(parts, classes, DenoiserSettings(cross_weight=args.cross_weight)).eval()
    data = LatentSet(images.subset(range(min(args.count, len(images)))), parts.vae.eval(), 'cpu')
    for name, value in measure(denoiser, data).items():
        print(f'{name:14} {value:.4f}')


if __name__ == '__main__':
    main()
