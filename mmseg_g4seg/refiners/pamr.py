"""Pixel-adaptive mask refinement (Araslanov and Roth, arXiv 2005.08104) as a refiner.

Shapes: C classes of the data set, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.prediction import ClassName, Key, Prediction

from .base import Refiner, check_inputs, redecide

PRESETS: dict[str, tuple[int, tuple[int, ...]]] = {
    'pamr': (10, (1, 2, 4, 8, 12, 24)),
    'sclip': (10, (8, 16)),
}
"""Iterations and dilations of the authors' own code, and of SCLIP's."""


class PAMRRefiner(Refiner):
    """Averages class probabilities over neighbours of like colour; no weights, runs on any device."""

    name = 'PAMR'

    def __init__(
        self,
        iterations: int = 10,
        dilations: Sequence[int] = (1, 2, 4, 8, 12, 24),
        *,
        memory_limit_mib: float = 256,
        background_index: int | None = None,
        background_threshold: float | None = None,
    ) -> None:
        """Args:
            iterations: how often probabilities are averaged.
            dilations: distances of the neighbours, pixels.
            memory_limit_mib: most that affinities may take; images beyond it go through in strips.
            background_index: see `decide_labels`.
            background_threshold: see `decide_labels`.

        Raises:
            ValueError: if a number is out of range.
        """
        if iterations < 1:
            raise ValueError(f'iterations: expected at least 1, got {iterations}')
        if not dilations or any(d < 1 for d in dilations):
            raise ValueError(f'dilations: expected distances of at least 1 pixel, got {dilations}')
        if memory_limit_mib <= 0:
            raise ValueError(f'memory_limit_mib: expected a positive number, got {memory_limit_mib}')
        self.iterations, self.dilations = iterations, tuple(dilations)
        self.memory_limit = int(memory_limit_mib * 2**20)
        self.background_index, self.background_threshold = background_index, background_threshold

    @torch.no_grad()
    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        class_names: Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        check_inputs(images, predictions, len(class_names))
        return [self._refine(image, p) for image, p in zip(images, predictions, strict=True)]

    def _refine(self, image: Tensor, prediction: Prediction) -> Prediction:
        # a class that has no probability anywhere cannot gain any
        scored = prediction.probs.flatten(1).any(dim=1)
        if not scored.any():
            return prediction
        probs = prediction.probs.clone()
        probs[scored] = pixel_adaptive_average(
            image.to(probs.device), probs[scored], self.dilations, self.iterations, memory_limit=self.memory_limit
        ).clamp_(0, 1)
        return redecide(
            prediction,
            probs,
            background_index=self.background_index,
            background_threshold=self.background_threshold,
        )
