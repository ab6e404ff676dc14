"""A G4Seg refiner taken apart: its steps one by one, for experiments that look between them.

Shapes: C classes, H W image size, P pixels picked from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from mmseg_g4seg.prediction import ClassName, Prediction
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.g4seg.layouts import ClassProbs, EncodedImage, LayoutPass
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner

from .run import ImageCase


@dataclass(frozen=True)
class OpenImage:
    """An image on the refiner's device, encoded: what an update takes.

    Attributes:
        encoded: for the prior.
        coarse: its coarse prediction.
        truth: (H, W) int64 labels.
        selected: classes to refine; none where there is nothing to refine.
        layout_pass: that runs its layouts.
    """

    encoded: EncodedImage
    coarse: Prediction
    truth: Tensor
    selected: list[int]
    layout_pass: LayoutPass


class G4SegParts(G4SegRefiner):
    """The refiner, with the steps of `refine` in the open."""

    @classmethod
    def build(cls, config: dict[str, Any]) -> 'G4SegParts':
        """Builds from a refiner's config.

        Raises:
            ValueError: if it is of another refiner.
        """
        refiner = build_refiner(config)
        if not isinstance(refiner, G4SegRefiner):
            raise ValueError(f'expected the config of a G4SegRefiner, got {config.get("type")!r}')
        return cls(refiner.prior, features=refiner.features, settings=refiner.settings)

    def with_settings(self, **changes: Any) -> 'G4SegParts':
        """The same models with other settings."""
        return G4SegParts(self.prior, features=self.features, settings=replace(self.settings, **changes))

    def open(self, case: ImageCase, class_names: Sequence[ClassName]) -> OpenImage:
        """Encodes an image and selects its classes."""
        coarse = self._on_device(case.coarse)
        layout_pass = self.layout_pass(class_names)
        (encoded,) = layout_pass.encode([case.image], [case.key])
        truth, selected = case.truth.to(coarse.label_map.device), self._selected(coarse, self._names(class_names))
        return OpenImage(encoded, coarse, truth, selected, layout_pass)

    def layout_pass(self, class_names: Sequence[ClassName]) -> LayoutPass:
        """What runs layouts of these classes."""
        return LayoutPass(self.prior, self.settings, self._names(class_names), self.budget)

    def merge(self, coarse: Prediction, updated: ClassProbs) -> Prediction:
        """Decides labels after an update; pixel by pixel, so that (C, 1, P) picked pixels do, too."""
        return self._merge(coarse, *updated)
