"""Measures how wide the borders of instance masks should be unsure, on the objects of procedural scenes.

    python -m projects.demo.make_scenes work_dirs/panoptic_scenes tune=5
    python -m projects.experiments.panoptic.instances work_dirs/panoptic_scenes --split tune --soften 0.005 0.015

Masks are those of the degraded scenes, hard, as Mask R-CNN gives them. Each is refined against the rest of the image,
as `refine_instances` does. What is printed is the mean gain in IoU of a mask, and its standard error.

Shapes: n objects of one class, H W image size.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmseg_g4seg.hosts.arrays import load_refiner
from mmseg_g4seg.hosts.detectron2.instances import refine_masks
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.base import Refiner
from projects.experiments.panoptic.scenes import GOOD, LEAST_PIXELS, STUFF, WEAK, Case, Coarse, degrade, read_cases


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('scenes', type=Path, help='folder of `projects.demo.make_scenes`')
    parser.add_argument('--split', default='tune')
    parser.add_argument('--refiner', default='tiny', help='what `load_refiner` takes')
    parser.add_argument('--soften', type=float, nargs='+', default=[0.005, 0.015], help='widths to compare')
    parser.add_argument('--scenes-at-most', type=int)
    return parser.parse_args(arguments)


def gains(refiner: Refiner, case: Case, coarse: Coarse, classes: ClassList, soften: float) -> list[float]:
    """Gain in IoU of each object of a scene, per cent."""
    found = []
    for category, name in enumerate(classes.labels):
        ids = [s['id'] for s in coarse.segments if s['category_id'] == category]
        ids = [i for i in ids if (coarse.id_map == i).sum() >= LEAST_PIXELS]
        if ids and name not in STUFF:
            before, truth = (torch.stack([own == i for i in ids]) for own in (coarse.id_map, case.true_map))
            after = refine_masks(refiner, case.image, before, classes, category, soften, case.name)
            found += (100 * (iou(after, truth) - iou(before, truth))).tolist()
    return found


def iou(masks: Tensor, truth: Tensor) -> Tensor:
    """(n, H, W) bool twice -> (n,) float in [0, 1]."""
    return (masks & truth).sum(dim=(1, 2)) / (masks | truth).sum(dim=(1, 2))


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    names = (args.scenes / 'classes.txt').read_text().splitlines()
    refiner = load_refiner(args.refiner).refiner
    classes = ClassList(names).with_options(refiner.class_options)
    cases = list(read_cases(args.scenes, args.split, names))[: args.scenes_at_most]
    for quality in (WEAK, GOOD):
        for soften in args.soften:
            own = [g for c in cases for g in gains(refiner, c, degrade(c, quality, len(names)), classes, soften)]
            change = torch.tensor(own)
            error = float(change.std() / len(own) ** 0.5)
            print(
                f'{quality.name} masks, soften {soften}: {float(change.mean()):+.2f} ± {error:.2f} of {len(own)}, '
                f'{int((change > 0).sum())} better, {int((change < 0).sum())} worse',
                flush=True,
            )


if __name__ == '__main__':
    main()
