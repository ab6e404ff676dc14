"""Every question of `python -m projects.experiments.limits_command` that takes the prior, asked about one image.

Shapes: C classes, H W image size.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.prediction import ClassName, Prediction
from mmseg_g4seg.refiners.g4seg.acceptance import Acceptance
from mmseg_g4seg.refiners.g4seg.updates.correspondence import CorrespondenceUpdate
from mmseg_g4seg.refiners.g4seg.updates.likelihood import LikelihoodUpdate

from .acceptance_check import count_decisions, iou_rises
from .g4seg_parts import G4SegParts, OpenImage
from .oracles import OracleMatches, TrueLayouts, true_class_of_objects, true_extent_of_objects, true_where_open
from .run import COARSE, ImageCase
from .uncertain_pixels import UncertainPixels, pick_uncertain


@dataclass(frozen=True)
class ImageLimits:
    """What was found out about one image.

    Attributes:
        pixels: its uncertain ones.
        areas: (3, C) int64 of the coarse mask and that of every update, by name.
        decisions: of the acceptance, see `count_decisions`.
    """

    pixels: UncertainPixels
    areas: dict[str, Tensor]
    decisions: Counter[str]


@torch.no_grad()
def examine(
    case: ImageCase, class_names: Sequence[ClassName], likelihood: G4SegParts, paper: G4SegParts
) -> ImageLimits:
    """Asks everything about an image.

    Args:
        case: the image.
        class_names: C names.
        likelihood: refiner with the likelihood update.
        paper: refiner with the paper's update.
    """
    image = likelihood.open(case, class_names)
    pixels, updated = ask_prior(image, likelihood)
    acceptance = Acceptance(image.layout_pass)
    (error_rises,) = acceptance.error_rises([image.encoded], [image.coarse], [updated])
    rises = iou_rises(image.coarse, updated, image.truth)
    masks = {
        COARSE: image.coarse,
        'likelihood': updated,
        'likelihood, accepted by the prior': acceptance.keep(image.coarse, updated, error_rises),
        'likelihood, accepted by the truth': acceptance.keep(image.coarse, updated, {c: -r for c, r in rises.items()}),
        **paper_updates(paper.open(case, class_names), paper),
    }
    areas = {name: class_areas(m.label_map, image.truth, len(class_names)).cpu() for name, m in masks.items()}
    areas['uncertain pixels, true where open'] = pixels.areas(true_where_open(pixels))
    background = likelihood.settings.background_index
    if background is not None:
        areas['uncertain pixels, true class of objects'] = pixels.areas(true_class_of_objects(pixels, background))
        areas['uncertain pixels, true extent of objects'] = pixels.areas(true_extent_of_objects(pixels, background))
    return ImageLimits(pixels, areas, count_decisions(error_rises, rises))


@torch.no_grad()
def ask_prior(image: OpenImage, likelihood: G4SegParts) -> tuple[UncertainPixels, Prediction]:
    """The prior's errors at an image's uncertain pixels, and what the update makes of them."""
    update = LikelihoodUpdate(image.layout_pass)
    (evidence,) = update.gather([image.encoded], [image.coarse], [image.selected])
    posterior = update.posterior(image.coarse, evidence)
    return pick_uncertain(image, update, evidence), likelihood.merge(image.coarse, (evidence.candidates, posterior))


def paper_updates(image: OpenImage, paper: G4SegParts) -> dict[str, Prediction]:
    """The paper's update as it is, under the true mask, and with the best matches (also with beta 0)."""
    layout_pass, features, truth = image.layout_pass, paper.features, image.truth
    alone = paper.with_settings(beta=0.0).layout_pass(layout_pass.class_names)
    updates = {
        'paper': CorrespondenceUpdate(layout_pass, features),
        'paper, true mask injected': CorrespondenceUpdate(TrueLayouts(layout_pass, truth), features),
        'paper, best matches': OracleMatches(layout_pass, features, truth),
        'paper, best matches, beta 0': OracleMatches(alone, features, truth),
    }
    return {
        name: paper.merge(image.coarse, update([image.encoded], [image.coarse], [image.selected])[0])
        for name, update in updates.items()
    }
