"""What sources of seeds share: they are told which classes an image shows, and score these alone.

Shapes: C classes of the data set, K classes of an image, H W image size.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from mmseg_g4seg.io.background_rule import BackgroundRule
from mmseg_g4seg.ops.precision import without_autocast
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction

from .base import CoarseSource, check_images, share_out


class SeedSource(CoarseSource):
    """Scores the classes of an image's label, as weakly supervised methods do; a rule scores the background.

    `predict` takes all classes that it is given for classes of the image: every one gets a map that comes near 1. Who
    has image-level labels calls `predict_present`, as `g4seg seeds` does.
    """

    background_rule: BackgroundRule
    file_format: ClassVar[str]
    """In which the method's authors save its seeds, one of `FORMATS`."""

    @abstractmethod
    def score(self, image: Tensor, names: Sequence[ClassName]) -> Tensor:
        """Scores the classes of an image.

        Args:
            image: (3, H, W) float RGB in [0, 1].
            names: K names, at least one, without the background.

        Returns:
            (K, H, W) float32 in [0, 1], on the image's device.
        """

    @without_autocast()
    @torch.no_grad()
    def predict_batch(
        self,
        images: Sequence[Tensor],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        classes = ClassList.of(classes)
        check_images(images, keys)
        return [self._predict(image, classes) for image in images]

    def _predict(self, image: Tensor, classes: ClassList) -> Prediction:
        shown = [c for c in range(len(classes)) if c != classes.background]
        scores = torch.zeros(len(classes), *image.shape[1:], device=image.device)
        if shown:
            scores[shown] = self.score(image, [classes[c] for c in shown])
        if classes.background is not None:
            # still 0 itself
            scores[classes.background] = self.background_rule.background(scores.amax(dim=0))
        return share_out(scores, classes)
