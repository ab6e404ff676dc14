"""What is known about an image's uncertain pixels before labels are decided: kept in memory, asked again and again.

Shapes: C classes, N candidates of the image, P uncertain pixels, H W image size.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mmseg_g4seg.evaluation.areas import class_areas
from mmseg_g4seg.ops.masks import labelled_pixels
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.g4seg.questions import Evidence
from mmseg_g4seg.refiners.g4seg.updates.base import merge_update
from mmseg_g4seg.refiners.g4seg.updates.likelihood import LikelihoodUpdate

from .open_image import OpenImage


@dataclass(frozen=True)
class UncertainPixels:
    """The pixels whose highest coarse probability is below `uncertain_below`.

    Attributes:
        coarse: prediction at these pixels, probs (C, 1, P) and labels (1, P).
        truth: (P,) int64 labels; what is not in [0, C) is no label.
        candidates: N classes.
        open_to: (N, P) bool, pixels that may take each candidate.
        errors: (N, P) float32, the prior's error under each.
        certain_areas: (3, C) int64, coarse areas of all other pixels.
        certain_probs: (N,) float32, sums of the candidates' coarse probabilities over all other pixels.
    """

    coarse: Prediction
    truth: Tensor
    candidates: list[int]
    open_to: Tensor
    errors: Tensor
    certain_areas: Tensor
    certain_probs: Tensor

    def labelled(self) -> 'UncertainPixels':
        """Those that have a label alone."""
        kept = labelled_pixels(self.truth, len(self.coarse.probs))
        return replace(
            self,
            coarse=Prediction(self.coarse.probs[..., kept], self.coarse.label_map[:, kept]),
            truth=self.truth[kept],
            open_to=self.open_to[:, kept],
            errors=self.errors[:, kept],
        )

    def areas(self, label_map: Tensor) -> Tensor:
        """Areas of the whole image with these labels, (1, P) int64, at the uncertain pixels: (3, C)."""
        return self.certain_areas + class_areas(label_map, self.truth[None], len(self.coarse.probs))

    def refine(self, update: LikelihoodUpdate, classes: ClassList, sharpness: float) -> Tensor:
        """Labels that a likelihood update decides at another sharpness than its own: (1, P) int64.

        Args:
            update: whose other options count.
            classes: whose background and threshold decide.
            sharpness: in place of the update's.
        """
        if not self.candidates:
            return self.coarse.label_map
        asked = LikelihoodUpdate(**{**vars(update), 'sharpness': sharpness})
        evidence = Evidence(self.candidates, self.open_to[:, None], self.errors[:, None])
        updated = asked.posterior(self.coarse.probs[self.candidates], evidence, self.certain_probs)
        return merge_update(self.coarse, (self.candidates, updated), classes).label_map

    def open_to_classes(self) -> Tensor:
        """Pixels that may take each class: (C, P) bool."""
        every = torch.zeros(len(self.coarse.probs), len(self.truth), dtype=torch.bool)
        every[self.candidates] = self.open_to
        return every

    def rows_of(self, classes: Tensor) -> Tensor:
        """Rows of classes among the candidates, -1 where a label is none or not open: (P,) -> (P,) int64."""
        rows = torch.full((len(self.coarse.probs),), -1)
        rows[self.candidates] = torch.arange(len(self.candidates))
        known = labelled_pixels(classes, len(rows))
        row = torch.where(known, rows[classes.where(known, 0)], -1)
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
    picked = coarse.probs.amax(dim=0) < update.uncertain_below
    certain = torch.where(picked, 255, image.truth)  # ignored where uncertain
    return UncertainPixels(
        Prediction(coarse.probs[:, picked][:, None].cpu(), coarse.label_map[picked][None].cpu()),
        image.truth[picked].cpu(),
        evidence.candidates,
        evidence.open_to[:, picked].cpu(),
        evidence.errors[:, picked].cpu(),
        class_areas(coarse.label_map, certain, classes).cpu(),
        coarse.probs[evidence.candidates][:, ~picked].sum(dim=1).cpu(),
    )
