"""Finds by which power of the queries' masks the shares of segments say how often a segment is right. Asks no prior.

    python -m projects.experiments.panoptic.calibration work_dirs/panoptic_scenes --split tune

Prints for each power the mean negative log-likelihood of the true segment, in nats, and how often a segment was right
whose share was 0.7 to 0.8. Pixels of void, predicted or true, and of true segments that nothing predicts are left out.

Shapes: S segments, n pixels, H W image size.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmseg_g4seg.ops.panoptic import VOID, segment_labels, segments_to_prediction
from projects.experiments.panoptic.scenes import GOOD, WEAK, Case, Coarse, degrade, read_cases

POWERS = (1.0, 1.5, 2.0, 3.0)


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('scenes', type=Path, help='folder of `projects.demo.make_scenes`')
    parser.add_argument('--split', default='tune')
    parser.add_argument('--scenes-at-most', type=int)
    return parser.parse_args(arguments)


def shares(case: Case, coarse: Coarse, power: float) -> tuple[Tensor, Tensor]:
    """The share of the true segment, and the largest share where that is the true one's or else its negative.

    Returns:
        (n,) float32 in [0, 1], and (n,) float32 in [-1, 1].
    """
    ids = [s['id'] for s in coarse.segments]
    # half the power, since what is given is squared
    labels = segment_labels(coarse.id_map, ids)
    probs = segments_to_prediction(labels, coarse.masks ** (power / 2), len(ids), 0.0).probs
    true = segment_labels(case.true_map, ids)
    counted = (labels != VOID) & (true != VOID)
    own = probs[:, counted]  # (S, n)
    largest, first = own.max(dim=0)
    return own.gather(0, true[counted][None])[0], torch.where(first == true[counted], largest, -largest)


def summarise(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Nats, and how many per cent of the largest shares in 0.7 to 0.8 were right, over all images."""
    true, largest = (torch.cat(own) for own in zip(*pairs, strict=True))
    inside = (largest.abs() >= 0.7) & (largest.abs() < 0.8)
    nats = float(-true.clamp_min(1e-6).log().mean())
    return nats, 100 * float((largest[inside] > 0).float().mean())


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    names = (args.scenes / 'classes.txt').read_text().splitlines()
    cases = list(read_cases(args.scenes, args.split, names))[: args.scenes_at_most]
    for quality in (WEAK, GOOD):
        drawn = [degrade(case, quality, len(names)) for case in cases]
        for power in POWERS:
            nats, right = summarise(shares(c, d, power) for c, d in zip(cases, drawn, strict=True))
            print(f'{quality.name} masks, power {power}: {nats:.3f} nats; of shares of 0.7 to 0.8, {right:.0f} % right')


if __name__ == '__main__':
    main()
