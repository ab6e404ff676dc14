"""Gives pixels without a label the most probable class.

Shapes: C classes of the data set, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.registry import register

from .base import Refiner, check_inputs


@register
class FillVoid(Refiner):
    """Fills void without looking at the image: a stage of its own, behind a refiner or alone.

    Panoptic quality often gains by it, and no mask is better for it. So no refiner does it unasked, and a gain is
    a refiner's only where it goes beyond this one's.
    """

    name = 'fill void'

    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        check_inputs(images, predictions, len(classes))
        return [_fill(prediction) for prediction in predictions]


def _fill(prediction: Prediction) -> Prediction:
    probs, labels = prediction.probs, prediction.label_map
    labelled = (labels >= 0) & (labels < len(probs))
    return Prediction(probs, torch.where(labelled, labels, probs.argmax(dim=0)))


def fills_void(refiner: Refiner) -> bool:
    """Whether a refiner, or a stage of a chain, fills void."""
    return isinstance(refiner, FillVoid) or any(map(fills_void, getattr(refiner, 'refiners', ())))
