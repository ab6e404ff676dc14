"""Every question of `python -m projects.experiments.limits` that takes the prior, asked about one image.

Shapes: C classes, H W image size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.evaluation.records import COARSE
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from projects.experiments.run import ImageCase

from .open_image import OpenImage, open_image
from .oracles import OracleMatches, TrueLayouts, true_class_of_objects, true_extent_of_objects, true_where_open
from .uncertain_pixels import UncertainPixels, pick_uncertain


@dataclass(frozen=True)
class ImageLimits:
    """What was found out about one image.

    Attributes:
        pixels: its uncertain ones.
        areas: (3, C) int64 of the coarse mask and that of every update, by name.
    """

    pixels: UncertainPixels
    areas: dict[str, Tensor]


@dataclass(frozen=True)
class Compared:
    """The two refiners that are looked into, one of each update.

    Attributes:
        likelihood: with a `LikelihoodUpdate`, and
        paper: with a `CorrespondenceUpdate`.

    Raises:
        ValueError: if one has another update.
    """

    likelihood: G4SegRefiner
    paper: G4SegRefiner

    def __post_init__(self) -> None:
        for refiner, kind in ((self.likelihood, LikelihoodUpdate), (self.paper, CorrespondenceUpdate)):
            if not isinstance(refiner.update, kind):
                raise ValueError(
                    f'expected a refiner with a {kind.__name__}, got one with a {type(refiner.update).__name__}'
                )


@torch.no_grad()
def examine(case: ImageCase, classes: ClassList, refiners: Compared) -> ImageLimits:
    """Asks everything about an image.

    Args:
        case: the image.
        classes: C classes, to which each refiner adds what its config says.
        refiners: both updates.
    """
    asked = open_image(refiners.likelihood, case, classes)
    pixels, updated = ask_prior(asked, refiners.likelihood)
    image, background = open_image(refiners.paper, case, classes), asked.passes.classes.background
    masks = {COARSE: image.coarse, 'likelihood': updated, **paper_updates(image, refiners.paper)}
    areas = {name: class_areas(m.label_map, image.truth, len(classes)).cpu() for name, m in masks.items()}
    areas['uncertain pixels, true where open'] = pixels.areas(true_where_open(pixels))
    if background is not None:
        areas['uncertain pixels, true class of objects'] = pixels.areas(true_class_of_objects(pixels, background))
        areas['uncertain pixels, true extent of objects'] = pixels.areas(true_extent_of_objects(pixels, background))
    return ImageLimits(pixels, areas)


@torch.no_grad()
def ask_prior(image: OpenImage, refiner: G4SegRefiner) -> tuple[UncertainPixels, Prediction]:
    """The prior's errors at an image's uncertain pixels, and what the likelihood update makes of them."""
    update = refiner.update
    assert isinstance(update, LikelihoodUpdate)
    (evidence,) = update.gather(image.passes, [image.encoded], [image.coarse], [image.selected])
    posterior = update.posterior(image.coarse.probs[evidence.candidates], evidence)
    return pick_uncertain(image, update, evidence), image.merge((evidence.candidates, posterior))


def paper_updates(image: OpenImage, refiner: G4SegRefiner) -> dict[str, Prediction]:
    """The paper's update as it is, under the true mask, and with the best matches (also with beta 0)."""
    update = refiner.update
    assert isinstance(update, CorrespondenceUpdate)
    return {
        'paper': image.apply(update),
        'paper, true mask injected': image.apply(update, TrueLayouts(image.passes, image.truth)),
        'paper, best matches': image.apply(OracleMatches(update, image.truth, len(image.coarse.probs))),
        'paper, best matches, beta 0': image.apply(
            OracleMatches(update, image.truth, len(image.coarse.probs), beta=0.0)
        ),
    }
