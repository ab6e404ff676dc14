"""Which timestep tells most: labels by each one alone, against those by all of them.

    python -m projects.experiments.timesteps projects/experiments/configs/race.py --run everything --half even

Agreement is over the uncertain pixels of all images; the gain is that of the labels by this timestep alone.
Shapes: N candidates, C classes, H W image size, T timesteps.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor
from tqdm import tqdm

from mmseg_g4seg.evaluation.areas import class_areas, mean_iou
from mmseg_g4seg.evaluation.rows import markdown
from mmseg_g4seg.refiners.g4seg.questions import Evidence
from mmseg_g4seg.refiners.g4seg.updates import LikelihoodUpdate
from projects.experiments.limits.open_image import OpenImage, build_g4seg, open_image
from projects.experiments.plan import read_experiment
from projects.experiments.run import read_case
from projects.experiments.table import Half, choose_half


def ask_each(image: OpenImage, update: LikelihoodUpdate, timesteps: Sequence[int]) -> list[Evidence]:
    """What the prior says at each timestep alone, about one image."""
    found = []
    for timestep in timesteps:
        alone = LikelihoodUpdate(**{**vars(update), 'timesteps': (timestep,)})
        found += alone.gather(image.passes, [image.encoded], [image.coarse], [image.selected])
    return found


def label_maps(image: OpenImage, update: LikelihoodUpdate, timesteps: Sequence[int]) -> list[Tensor]:
    """Labels (H, W) by each of T timesteps alone, then by all of them."""
    alone = ask_each(image, update, timesteps)
    together = replace(alone[0], errors=torch.stack([evidence.errors for evidence in alone]).mean(dim=0))
    probs = image.coarse.probs[together.candidates]
    posteriors = [update.posterior(probs, evidence) for evidence in [*alone, together]]
    return [image.merge((together.candidates, posterior)).label_map for posterior in posteriors]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path)
    parser.add_argument('--run', required=True, help='with a likelihood update that asks everything')
    parser.add_argument('--half', choices=get_args(Half), default='all')
    parser.add_argument('--images', type=int, help='at most so many images a set')
    args = parser.parse_args(arguments)
    experiment, rows = read_experiment(args.config), []
    for run in (run for run in experiment.runs if run.name == args.run):
        image_set, refiner = experiment.sets[run.set_name], build_g4seg(run.refiner)
        update, classes = refiner.update, image_set.reader().classes
        if not isinstance(update, LikelihoodUpdate) or not isinstance(update.timesteps, tuple):
            raise SystemExit(f'--run: expected a likelihood update with timesteps, got {run.refiner}')
        equal, pixels = torch.zeros(len(update.timesteps)), 0
        areas = []
        for name in tqdm(choose_half(image_set.image_names(), args.half)[: args.images], mininterval=20):
            image = open_image(refiner, read_case(name, image_set), classes)
            uncertain = image.coarse.probs.amax(dim=0) < update.uncertain_below
            maps = label_maps(image, update, update.timesteps)
            equal += torch.stack([(own == maps[-1])[uncertain].sum() for own in maps[:-1]])
            pixels += int(uncertain.sum())
            areas.append(
                torch.stack([class_areas(m, image.truth, len(classes)) for m in [image.coarse.label_map, *maps]])
            )
        coarse, *gains = mean_iou(torch.stack(areas).sum(dim=0), image_set.counted_classes()).mul(100).tolist()
        shares = [f'{share:.1%}' for share in (equal / pixels).tolist()] + ['']
        for timestep, share, after in zip([*map(str, update.timesteps), 'all'], shares, gains, strict=True):
            rows.append([run.set_name, timestep, share, f'{after - coarse:+.2f}'])
    print(markdown([['set', 'timestep', 'agrees with all', 'gain'], *rows]))


if __name__ == '__main__':
    main()
