"""An image opened for experiments that look between the steps of a refiner.

Shapes: C classes, H W image size.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.g4seg.encoding import EncodedImage, encode_images
from mmseg_g4seg.refiners.g4seg.passes import Passes
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates.base import ClassProbs, Update, merge_update
from projects.experiments.run import ImageCase


@dataclass(frozen=True)
class OpenImage:
    """An image on the refiner's device, encoded: what an update takes.

    Attributes:
        encoded: for the prior.
        coarse: its coarse prediction, C classes.
        truth: (H, W) int64 labels.
        selected: classes to refine; none where there is nothing to refine.
        passes: ask the prior.
    """

    encoded: EncodedImage
    coarse: Prediction
    truth: Tensor
    selected: list[int]
    passes: Passes

    def apply(self, update: Update, passes: Passes | None = None) -> Prediction:
        """The image refined by an update; `passes` stand in place of the image's own."""
        (updated,) = update(passes or self.passes, [self.encoded], [self.coarse], [self.selected])
        return self.merge(updated)

    def merge(self, updated: ClassProbs) -> Prediction:
        """Decides labels after an update of (K, H, W) probabilities."""
        self.passes.prior.check_finite()  # NaN of a float16 prior would decide for class 0 everywhere
        return merge_update(self.coarse, updated, self.passes.classes)


def build_g4seg(config: dict[str, Any]) -> G4SegRefiner:
    """Builds a refiner that is G4Seg alone.

    Raises:
        ValueError: if the config is of another refiner.
    """
    refiner = build_refiner(config)
    if not isinstance(refiner, G4SegRefiner):
        raise ValueError(f'expected the config of a G4SegRefiner, got {config.get("type")!r}')
    return refiner


def open_image(refiner: G4SegRefiner, case: ImageCase, classes: ClassList) -> OpenImage:
    """Encodes an image and selects its classes, as `G4SegRefiner.refine` does.

    Args:
        refiner: whose prior is asked; what its config says of the classes counts.
        case: the image.
        classes: C classes.
    """
    classes = classes.with_options(refiner.class_options)
    coarse, passes = refiner.on_device(case.coarse), refiner.passes(classes)
    (encoded,) = encode_images(refiner.prior, [case.image], [case.key], refiner.image_size)
    truth = case.truth.to(coarse.label_map.device)
    return OpenImage(encoded, coarse, truth, refiner.select(coarse, classes), passes)
