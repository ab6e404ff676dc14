"""What is known about an image's uncertain pixels before labels are decided: kept in memory, asked again and again.

Shapes: C classes, N candidates of the image, P uncertain labelled pixels, H W image size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..areas import class_areas, labelled_pixels
from ..probability import weigh_candidates
from ..refiners import Prediction
from ..refiners.likelihood_update import Evidence, LikelihoodUpdate
from .g4seg_parts import G4SegParts, OpenImage


@dataclass(frozen=True)
class UncertainPixels:
    """The labelled pixels whose highest coarse probability is below the confidence range's upper end.

    Attributes:
        coarse: prediction at these pixels, probs (C, 1, P) and labels (1, P).
        truth: (P,) int64 in [0, C).
        candidates: N classes.
        open_to: (N, P) bool, pixels that may take each candidate.
        errors: (N, P) float32, the prior's error under each.
        certain_areas: (3, C) int64, coarse areas of all other pixels.
    """

    coarse: Prediction
    truth: Tensor
    candidates: list[int]
    open_to: Tensor
    errors: Tensor
    certain_areas: Tensor

    def areas(self, label_map: Tensor) -> Tensor:
        """Areas of the whole image with these labels, (1, P) int64, at the uncertain pixels: (3, C)."""
        return self.certain_areas + class_areas(label_map, self.truth[None], len(self.coarse.probs))

    def refine(self, parts: G4SegParts, sharpness: float) -> Tensor:
        """Labels that the likelihood update decides at a sharpness, class proportions kept: (1, P) int64."""
        if not self.candidates:
            return self.coarse.label_map
        probs = self.coarse.probs[self.candidates]
        bound = parts.settings.likelihood_bound
        updated = weigh_candidates(probs, self.open_to[:, None], self.errors[:, None], sharpness, bound)
        return parts.merge(self.coarse, (self.candidates, updated)).label_map

    def open_to_classes(self) -> Tensor:
        """Pixels that may take each class: (C, P) bool."""
        every = torch.zeros(len(self.coarse.probs), len(self.truth), dtype=torch.bool)
        every[self.candidates] = self.open_to
        return every

    def rows_of(self, classes: Tensor) -> Tensor:
        """Rows of classes among the candidates, -1 where a class is none or not open: (P,) -> (P,) int64."""
        rows = torch.full((len(self.coarse.probs),), -1)
        rows[self.candidates] = torch.arange(len(self.candidates))
        row = rows[classes]
        if not self.candidates:
            return row
        return torch.where(self.open_to.gather(0, row.clamp_min(0)[None])[0], row, -1)


def pick_uncertain(image: OpenImage, update: LikelihoodUpdate, evidence: Evidence) -> UncertainPixels:
    """Picks them from an image, onto the CPU.

    Args:
        image: opened.
        update: that gathered the evidence.
        evidence: about this image.
    """
    coarse, classes = image.coarse, len(image.coarse.probs)
    uncertain = coarse.probs.amax(dim=0) < update.settings.confidence_range[1]
    picked = uncertain & labelled_pixels(image.truth, classes)
    certain = torch.where(picked, 255, image.truth)  # ignored where uncertain
    return UncertainPixels(
        Prediction(coarse.probs[:, picked][:, None].cpu(), coarse.label_map[picked][None].cpu()),
        image.truth[picked].cpu(),
        evidence.candidates,
        evidence.open_to[:, picked].cpu(),
        evidence.errors[:, picked].cpu(),
        class_areas(coarse.label_map, certain, classes).cpu(),
    )
