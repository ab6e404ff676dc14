"""What a figure is of: an image with its masks, and the colours of their classes.

Shapes: C classes, H W image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.evaluation.panels import Legend
from mmseg_g4seg.ops.masks import over_under_regions
from mmseg_g4seg.ops.palettes import MUTED, voc_palette
from mmseg_g4seg.prediction import ClassList, Key, Prediction

from .drawing import painted


@dataclass(frozen=True)
class Options:
    """What a user may choose of a figure.

    Attributes:
        points: (row, column) in pixels to be matched; chosen by the figure when there are none.
        class_index: the class that a figure is about; chosen by the figure when not given.
        timesteps: of reconstructions.
        steps: of null-text inversion.
        guidance: of its sampling; 1 is none.
    """

    points: Sequence[tuple[int, int]] = ()
    class_index: int | None = None
    timesteps: Sequence[int] = (100, 200, 300, 400, 500, 600, 700)
    steps: int = 20
    guidance: float = 7.5


@dataclass(frozen=True)
class Subject:
    """One image.

    Attributes:
        image: (3, H, W) float RGB in [0, 1].
        coarse: its prediction before refinement.
        classes: of the masks.
        key: of the image's noise.
        truth: (H, W) int64 true labels, or None.
    """

    image: Tensor
    coarse: Prediction
    classes: ClassList
    key: Key = 0
    truth: Tensor | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.image.shape[-2], self.image.shape[-1]

    @cached_property
    def colours(self) -> np.ndarray:
        """Of all classes, (C, 3) uint8: the user's; else for up to ten classes ones that colour-blind people tell."""
        if self.classes.palette is not None:
            return np.array(self.classes.palette[: len(self.classes)], np.uint8)
        colours = voc_palette(len(self.classes))
        present = self.present(self.coarse.label_map, self.truth)
        if len(present) <= len(MUTED):
            colours[present] = MUTED[: len(present)]
        return colours

    def present(self, *label_maps: Tensor | None) -> list[int]:
        """Classes of some label maps (H, W), the background left out."""
        found = {int(c) for labels in label_maps if labels is not None for c in labels.unique()}
        return sorted(c for c in found if 0 <= c < len(self.classes) and c != self.classes.background)

    def masked(self, label_map: Tensor) -> np.ndarray:
        """A mask over the image, the background left as it is: (H, W) int64 -> (s H, s W, 3) uint8."""
        labels = label_map.cpu().numpy()
        known = (labels >= 0) & (labels < len(self.classes)) & (labels != self.classes.background)
        return painted(self.image, self.colours[np.where(known, labels, 0)], known)

    def legend(self, *label_maps: Tensor | None) -> Legend:
        """Names and colours of the classes of some label maps (H, W)."""
        return [(self.classes.labels[c], tuple(self.colours[c].tolist())) for c in self.present(*label_maps)]

    def most_wrong(self, reference: Tensor, candidates: Sequence[int]) -> int:
        """The class of most over- and under-segmented pixels against a reference (H, W) int64."""
        sizes = [sum(int(r.sum()) for r in self.regions(reference, c)) for c in candidates]
        return candidates[int(np.argmax(sizes))]

    def regions(self, reference: Tensor, class_index: int) -> tuple[Tensor, Tensor]:
        """Over- and under-segmented pixels of a class against a reference (H, W) int64: (H, W) bool each."""
        labels = self.coarse.label_map.to(reference.device)
        return over_under_regions(labels, reference, class_index, self.classes.ignore_index)


def deepest(region: Tensor) -> tuple[int, int] | None:
    """The pixel of a region that is farthest from its border, (H, W) bool -> (row, column); None where it is empty."""
    left = region[None, None].float()
    # peeled until nothing is left: the middle of the box around a ring would lie outside the ring
    while left.any():
        inner = left
        left = -F.max_pool2d(F.pad(-left, (1, 1, 1, 1)), 3, 1)
    places = inner[0, 0].nonzero() if region.any() else region.nonzero()
    return (int(places[len(places) // 2, 0]), int(places[len(places) // 2, 1])) if len(places) else None
