"""The base class of update rules, by which the prior's answer changes the probabilities.

Shapes: C classes of the data set, K classes of an image, H W image size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.ops.masks import changed_pixels, decide_labels, merge_class_probs
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.g4seg.encoding import EncodedImage
from mmseg_g4seg.refiners.g4seg.passes import Passes

ClassProbs = tuple[Sequence[int], Tensor]
"""Classes of one image with their probabilities, (classes, H, W) float32: what an update returns."""


class Update(ABC):
    """An update rule. Your own rule is a subclass with `@register`; configs name it by `type` in `update`."""

    def check(self, prior: DiffusionPrior) -> None:  # noqa: B027  a rule need not ask anything of the prior
        """Raises ValueError if a prior cannot be asked so; called once, before any work."""

    def to(self, device: torch.device | str) -> 'Update':
        """Moves what has weights to a device, in place."""
        return self

    @abstractmethod
    def __call__(
        self,
        passes: Passes,
        images: Sequence[EncodedImage],
        predictions: Sequence[Prediction],
        selected: Sequence[Sequence[int]],
    ) -> list[ClassProbs]:
        """Updates the probabilities of a batch of images.

        Args:
            passes: asks the prior.
            images: encoded images.
            predictions: one an image, on the prior's device.
            selected: the K classes to refine in each image; never the background.

        Returns:
            For each image the classes that were updated and their probabilities, (classes, H, W) float32 in [0, 1].
        """


def merge_update(prediction: Prediction, updated: ClassProbs, classes: ClassList) -> Prediction:
    """Merges updated classes; a pixel whose probabilities did not change keeps its coarse label.

    Args:
        prediction: (C, H, W) probabilities and (H, W) labels before.
        updated: K classes and their (K, H, W) probabilities.
        classes: whose background and threshold decide.
    """
    probs = merge_class_probs(prediction.probs, *updated)
    labelled = (prediction.label_map < len(probs)) & (prediction.label_map >= 0)
    changed = changed_pixels(probs, prediction.probs) & labelled
    # thresholding models call pixels background that argmax would not: their own labels stand until something changes
    labels = decide_labels(probs, background_index=classes.background, background_threshold=classes.threshold)
    return replace(prediction, probs=probs, label_map=torch.where(changed, labels, prediction.label_map))
