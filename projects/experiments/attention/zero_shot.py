"""Zero-shot masks of several sources on the same labelled pictures, and what a refiner makes of them.

    python -m projects.experiments.attention.zero_shot --prior tiny --images data/scenes/images/val \
        --labels data/scenes/labels/val --classes data/scenes/classes.txt --out work_dirs/zero_shot_tiny
    ... --refiner configs/_base_/refiners/g4seg_tiny.py --count 40

Each image is asked about the classes of its label. OUT has the areas of each image and method: a run that was stopped
goes on, with the same prior, files, timesteps and refiner. The table says mIoU, and the gain over one method with its
95 % interval over images.
Shapes: C classes, H W image size.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor
from tqdm import tqdm

from mmseg_g4seg.coarse import CoarseSource
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.evaluation.statistics import compare
from mmseg_g4seg.io.atomic import atomic_write
from mmseg_g4seg.io.class_files import read_classes
from mmseg_g4seg.io.images import find_images, read_image
from mmseg_g4seg.io.label_files import read_index_png
from mmseg_g4seg.ops.masks import decide_labels, present_classes
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.registry import build
from projects.begun import check_begun

METHODS = {
    'cross-attention (DAAM)': dict(type='DAAM'),
    'SeeDiff': dict(type='SeeDiff'),
    'DiffSegmenter': dict(type='DiffSegmenter', prompt_template='a photo of {name}'),
}
BACKGROUNDS = {
    "SeeDiff, background 'rest'": dict(type='SeeDiff', background_score='rest'),
    "SeeDiff, background 'mask'": dict(type='SeeDiff', background_score='mask'),
}
"""Where a data set has one; a number is what the others have."""

FIXED = ('prior', 'images', 'labels', 'classes', 'timesteps', 'image_size', 'levels', 'refiner')
"""Options that a run goes on with."""


class Undecided(CoarseSource):
    """Every class nearly as probable everywhere: what a refiner finds without any mask.

    Which one is the highest is drawn at each pixel, since a refiner asks about the classes that a mask has.
    """

    def predict_batch(
        self, images: Sequence[Tensor], classes: 'ClassList | Sequence[ClassName]', *, keys: Sequence[Key] | None = None
    ) -> list[Prediction]:
        noise = [torch.rand(len(classes), *i.shape[-2:], generator=torch.Generator().manual_seed(0)) for i in images]
        probs = [(1 + n / 100) / (1 + n / 100).sum(dim=0) for n in noise]
        return [Prediction(p, decide_labels(p)) for p in probs]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--prior', default='tiny', help='name or folder')
    parser.add_argument('--images', type=Path, required=True)
    parser.add_argument('--labels', type=Path, required=True, help='index PNGs')
    parser.add_argument('--classes', type=Path, required=True, help='names, one a line')
    parser.add_argument('--timesteps', type=int, nargs='+', default=[100])
    parser.add_argument('--image-size', type=int, nargs=2, help='height and width; default: those of the prior')
    parser.add_argument('--levels', type=int, nargs='+', help='latent cells a token of the layers that are read')
    parser.add_argument('--refiner', type=Path, help='config of a refiner, on the same prior')
    parser.add_argument('--methods', nargs='*', help='parts of their names; all when not given')
    parser.add_argument(
        '--against', default='undecided', help='part of the name of the method that others are compared with'
    )
    parser.add_argument('--count', type=int, help='at most so many images')
    parser.add_argument('--out', type=Path, required=True)
    return parser.parse_args()


def build_sources(
    prior: DiffusionPrior, options: Mapping[str, Any], wanted: Sequence[str] | None, *, background: bool = False
) -> dict[str, CoarseSource]:
    """Sources by name; those that have one of the wanted texts in it."""
    sources: dict[str, CoarseSource] = {'undecided': Undecided()}
    for name, config in (METHODS | (BACKGROUNDS if background else {})).items():
        sources[name] = build({**config, **options, 'prior': prior}, CoarseSource)
    return {name: s for name, s in sources.items() if wanted is None or any(part in name for part in wanted)}


def measure_image(
    image: Tensor, truth: Tensor, classes: ClassList, key: str, source: CoarseSource, refiner: Refiner | None
) -> list[list[list[int]]]:
    """Areas (stages, 3, C) of an image's masks: the source's, and the refiner's. (3, H, W) image, (H, W) truth."""
    present = present_classes(truth, len(classes), background_index=classes.background)
    found = [source.predict_present(image, classes, present, key=key)]
    if refiner is not None:
        found.append(refiner.refine(image, found[0], classes, key=key))
    return [class_areas(prediction.label_map, truth, len(classes)).tolist() for prediction in found]


def main() -> None:
    args = parse_args()
    check_begun(args.out / 'options.json', {name: str(getattr(args, name)) for name in FIXED})
    prior, classes = load_prior(args.prior), ClassList(list(read_classes(str(args.classes))))
    options = dict(timesteps=args.timesteps, image_size=args.image_size, levels=args.levels)
    sources = build_sources(prior, options, args.methods, background=classes.background is not None)
    refiner = None
    if args.refiner is not None:
        refiner = build_refiner({**Config.fromfile(args.refiner).refiner.to_dict(), 'prior': prior})
    images = find_images(args.images)
    names = sorted(images)[: args.count]
    areas: dict[str, list] = {}
    for name in tqdm(names, mininterval=20):
        path = args.out / f'{name}.json'
        done = json.loads(path.read_text()) if path.exists() else {}
        missing = [method for method in sources if method not in done]
        if missing:
            image, truth = read_image(images[name][0]), read_index_png(args.labels / f'{name}.png', len(classes))
            for method in missing:
                done[method] = measure_image(image, truth, classes, name, sources[method], refiner)
            atomic_write(path, json.dumps(done))
        for method in sources:
            areas.setdefault(method, []).append(done[method])
    first = next((method for method in areas if args.against in method), None)
    if first is None:
        raise SystemExit(f'--against: expected a part of one of {list(areas)}, got {args.against!r}')
    print_table({method: torch.tensor(a) for method, a in areas.items()}, first)


def print_table(areas: dict[str, Tensor], against: str) -> None:
    """Prints a line a method and stage: areas (N, stages, 3, C) by method, compared with one of them."""
    first = areas[against][:, 0]
    print(f'| masks | mIoU | gain over {against} (95 %) | gain over its own coarse masks (95 %) |\n|---|---|---|---|')
    for method, found in areas.items():
        for stage in range(found.shape[1]):
            over_first, over_own = compare(first, found[:, stage]), compare(found[:, 0], found[:, stage])
            name = method + ', refined' * stage
            gains = [f'{c.gain:+.2f} [{c.interval[0]:+.2f}, {c.interval[1]:+.2f}]' for c in (over_first, over_own)]
            print(f'| {name} | {over_first.after:.2f} | {gains[0]} | {gains[1] if stage else ""} |')


if __name__ == '__main__':
    main()
