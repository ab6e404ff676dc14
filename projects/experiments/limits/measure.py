"""What limits the gain on a set of images: asks about each image, and sums up."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from mmseg_g4seg.evaluation.records import COARSE
from mmseg_g4seg.evaluation.statistics import compare
from mmseg_g4seg.prediction import ClassList
from mmseg_g4seg.refiners.g4seg.updates import LikelihoodUpdate
from projects.experiments.plan import ImageSet
from projects.experiments.run import read_case
from projects.experiments.table import Half, choose_half

from .calibration import calibrate, find_choices
from .image import Compared, ImageLimits, ask_prior, examine
from .open_image import open_image
from .prior_knowledge import count_right, summarise_knowledge
from .uncertain_pixels import UncertainPixels

GAIN_FIGURES = ('before', 'after', 'gain', 'interval', 'better', 'worse')
"""What is reported of a `Comparison`."""

Folds = Sequence[tuple[Sequence[str], Sequence[str]]]
"""Names of images to calibrate on, and of images to report on: never the same in one fold."""


def split_folds(names: Sequence[str], half: Half, images: int | None = None) -> Folds:
    """Splits a set's images.

    Args:
        names: of the images, in order.
        half: to report on; the other is calibrated on. `all` reports on each, calibrated on the other.
        images: at most so many of each half; with `all` so many in all.
    """
    if half == 'all':
        even, odd = (choose_half(list(names)[:images], h) for h in ('even', 'odd'))
        return [(even, odd), (odd, even)]
    other: Half = 'even' if half == 'odd' else 'odd'
    return [(choose_half(names, other)[:images], choose_half(names, half)[:images])]


def measure_limits(image_set: ImageSet, refiners: Compared, folds: Folds) -> dict[str, Any]:
    """Measures all limits on the images that the folds report on.

    Args:
        image_set: of the images.
        refiners: both updates.
        folds: see `split_folds`.

    Returns:
        `images`, their number; `knowledge`, see `summarise_knowledge`; `calibration`, see
        `calibrate_folds`; `gains`, the `GAIN_FIGURES` of every update.
    """
    classes = image_set.reader().classes.with_options(refiners.likelihood.class_options)
    limits, pixels = _ask(image_set, classes, refiners, folds)
    update = refiners.likelihood.update
    assert isinstance(update, LikelihoodUpdate)
    calibration = calibrate_folds(pixels, folds, update.sharpness, update.bound)
    refined = {
        name: pixels[name].areas(pixels[name].refine(update, classes, found))
        for (_, images), found in zip(folds, calibration['sharpness'], strict=True)
        for name in images
    }
    areas = [{**found.areas, 'likelihood, calibrated': refined[name]} for name, found in limits.items()]
    known = [count_right(found.pixels, update.sharpness, update.bound) for found in limits.values()]
    return {
        'images': len(limits),
        'knowledge': summarise_knowledge(known),
        'calibration': calibration,
        'gains': _gains(areas, image_set.counted_classes()),
    }


def _ask(
    image_set: ImageSet, classes: ClassList, refiners: Compared, folds: Folds
) -> tuple[dict[str, ImageLimits], dict[str, UncertainPixels]]:
    """Everything about the images to report on, and the uncertain pixels of all; by name."""
    reported = [name for _, images in folds for name in images]
    limits = {
        name: examine(read_case(name, image_set), classes, refiners)
        for name in tqdm(reported, f'{image_set.name}: reported on', mininterval=5)
    }
    pixels = {name: found.pixels for name, found in limits.items()}
    fitted = [name for images, _ in folds for name in images if name not in pixels]
    for name in tqdm(fitted, f'{image_set.name}: calibrated on', mininterval=5):
        image = open_image(refiners.likelihood, read_case(name, image_set), classes)
        pixels[name], _ = ask_prior(image, refiners.likelihood)
    return limits, pixels


def calibrate_folds(
    pixels: dict[str, UncertainPixels], folds: Folds, config_sharpness: float, bound: float | None = None
) -> dict[str, Any]:
    """Calibrates the sharpness on one side of each fold, and measures it on the other; class proportions left out.

    Args:
        pixels: uncertain ones of every image, by name.
        folds: of the images.
        config_sharpness: to compare with, and what a side without a choice gets.
        bound: on the likelihood.

    Returns:
        `sharpness` found, one a fold; `pixels` with a choice that are reported on; and the truth's mean
        log-likelihood there `at_zero`, `at_config` and `calibrated`.
    """
    found: list[float] = []
    sums: dict[str, float] = defaultdict(float)
    count = 0
    for fitted, reported in folds:
        to_fit, choices = ([find_choices(pixels[n], bound) for n in names] for names in (fitted, reported))
        found.append(calibrate(to_fit) if any(len(c.true_row) for c in to_fit) else config_sharpness)
        asked = {'at_zero': 0.0, 'at_config': config_sharpness, 'calibrated': found[-1]}
        for name, sharpness in asked.items():
            sums[name] += sum(image.log_likelihood(sharpness) for image in choices)
        count += sum(len(image.true_row) for image in choices)
    return {
        'sharpness': found,
        'pixels': count,
        **{name: total / count if count else None for name, total in sums.items()},
    }


def _gains(areas: Sequence[dict[str, Tensor]], classes: Sequence[int] | None) -> dict[str, dict[str, Any]]:
    """Each update's masks against the coarse ones, over the images."""
    stacked = {name: torch.stack([image[name] for image in areas]) for name in areas[0]}
    coarse = stacked.pop(COARSE)
    compared = {name: asdict(compare(coarse, refined, classes)) for name, refined in stacked.items()}
    return {name: {key: gains[key] for key in GAIN_FIGURES} for name, gains in compared.items()}
