"""Trains a small latent diffusion prior on a folder of images with label maps or tags.

    python -m projects.train_prior --images data/scenes/images/prior --labels data/scenes/labels/prior \
        --classes data/scenes/classes.txt --size 128 128 --out work_dirs/prior

Stopped at any time it goes on from the last saved state when called again with the same options (more or fewer
--steps bend the learning rate's cosine; other options are refused). The result, in diffusers
layout, is OUT/prior; logs are OUT/vae_log.csv and OUT/denoiser_log.csv, pictures OUT/samples.
"""

import argparse
from pathlib import Path

from projects.train_prior.data import TrainingData
from projects.train_prior.denoiser import DenoiserSettings, Reports
from projects.train_prior.doubts import DoubtSettings
from projects.train_prior.prior import PriorTraining, train_prior


def parse_args() -> argparse.Namespace:
    defaults, doubts = DenoiserSettings(), DoubtSettings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=Path, required=True, help='folder of images')
    parser.add_argument('--labels', type=Path, help='folder of 8-bit index PNGs, 255 = ignore')
    parser.add_argument('--tags', type=Path, help='JSON: {image name without suffix: [class name, ...]}')
    parser.add_argument('--validation-images', type=Path, help='folder of other images for the validation losses')
    parser.add_argument('--validation-labels', type=Path, help='their PNGs; --tags names them where there are none')
    parser.add_argument('--classes', type=Path, required=True, help='class names, one a line')
    parser.add_argument('--out', type=Path, required=True, help='folder of the run')
    parser.add_argument('--size', type=int, nargs=2, default=(128, 128), metavar=('H', 'W'), help='multiples of 16')
    parser.add_argument('--views', type=int, default=1, help='views of an image: the whole, then random crops')
    parser.add_argument('--light', type=float, default=0.0, help='how much exposure and colour of the crops vary')
    parser.add_argument('--init', type=Path, help='prior to warm up from')
    parser.add_argument('--vae-steps', type=int, default=2000, help='0 keeps the autoencoder of --init')
    parser.add_argument('--widths', type=int, nargs=3, help="of the U-Net's levels; those of --init when not given")
    parser.add_argument('--steps', type=int, default=defaults.steps, help='of U-Net and text encoder')
    parser.add_argument('--batch-size', type=int, default=defaults.batch_size)
    parser.add_argument('--learning-rate', type=float, default=defaults.learning_rate)
    parser.add_argument('--cross-weight', type=float, default=defaults.cross_weight)
    parser.add_argument('--self-weight', type=float, default=defaults.self_weight)
    parser.add_argument(
        '--shares', type=float, nargs=4, default=defaults.shares, help='no caption, caption, one mask, all masks'
    )
    add_doubts(parser, doubts)
    parser.add_argument('--report-every', type=int, default=defaults.reports.every, help='steps between reports')
    parser.add_argument('--seed', type=int, default=0, help='of new weights, crops and every draw')
    parser.add_argument(
        '--max-minutes', type=float, default=defaults.max_minutes, help='of U-Net and text encoder, in all'
    )
    parser.add_argument('--half', action='store_true', help='store the result in float16')
    parser.add_argument('--device', default=defaults.device)
    return parser.parse_args()


def add_doubts(parser: argparse.ArgumentParser, doubts: DoubtSettings) -> None:
    """Options of what is asked beside denoising."""
    parser.add_argument(
        '--doubt-weight',
        type=float,
        default=doubts.weight,
        help='weight of telling two classes apart where either may be',
    )
    parser.add_argument(
        '--rivals', type=float, default=doubts.rivals, help='how often one of the two is a class of another image'
    )
    parser.add_argument(
        '--caption-weight', type=float, default=doubts.caption_weight, help='weight of telling true names from others'
    )
    parser.add_argument(
        '--doubt-share',
        type=float,
        default=doubts.share,
        help='of each batch that --doubt-weight and --caption-weight take; 0.5 trains one prior for both',
    )
    parser.add_argument('--background', type=int, help='class index that the refiner gives no name')


def main() -> None:
    args = parse_args()
    settings = DenoiserSettings(
        steps=args.steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        cross_weight=args.cross_weight,
        self_weight=args.self_weight,
        shares=tuple(args.shares),
        doubts=DoubtSettings(args.doubt_weight, args.rivals, args.background, args.caption_weight, args.doubt_share),
        reports=Reports(every=args.report_every),
        max_minutes=args.max_minutes,
        device=args.device,
    )
    data = TrainingData(
        images=args.images,
        classes=args.classes,
        labels=args.labels,
        tags=args.tags,
        validation_images=args.validation_images,
        validation_labels=args.validation_labels,
    )
    task = PriorTraining(
        data,
        size=tuple(args.size),
        views=args.views,
        light=args.light,
        init=args.init,
        vae_steps=args.vae_steps,
        half=args.half,
        seed=args.seed,
        widths=None if args.widths is None else tuple(args.widths),
    )
    train_prior(task, settings, args.out)


if __name__ == '__main__':
    main()
