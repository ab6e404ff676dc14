"""Pixel-adaptive mask refinement (Araslanov and Roth, arXiv 2005.08104) as a refiner.

Shapes: C classes of the data set, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.ops.pixel_affinity import STD_FACTOR, pixel_adaptive_average
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.registry import register

from .base import Refiner, check_inputs, redecide

PRESETS: dict[str, tuple[int, tuple[int, ...]]] = {
    'pamr': (10, (1, 2, 4, 8, 12, 24)),
    'sclip': (10, (8, 16)),
}
"""Iterations and dilations of the authors' own code, and of SCLIP's."""


@register
class PAMRRefiner(Refiner):
    """Averages class probabilities over neighbours of similar colour. Has no weights; runs on any device."""

    name = 'PAMR'

    def __init__(
        self,
        iterations: int = 10,
        dilations: Sequence[int] = (1, 2, 4, 8, 12, 24),
        *,
        std_factor: float = STD_FACTOR,
        memory_limit_mib: float = 256,
    ) -> None:
        """Args:
            iterations: number of times that probabilities are averaged.
            dilations: distances of the neighbours, in pixels.
            std_factor: width of the kernel, in local standard deviations of colour; SeeDiff uses 0.2.
            memory_limit_mib: most memory of the affinities, in MiB; larger images are processed in strips.

        Raises:
            ValueError: if a number is out of range.
        """
        if iterations < 1:
            raise ValueError(f'iterations: expected at least 1, got {iterations}')
        if not dilations or any(d < 1 for d in dilations):
            raise ValueError(f'dilations: expected distances of at least 1 pixel, got {dilations}')
        if not std_factor > 0:
            raise ValueError(f'std_factor: expected a number above 0, got {std_factor!r}')
        if memory_limit_mib <= 0:
            raise ValueError(f'memory_limit_mib: expected a positive number, got {memory_limit_mib}')
        self.iterations, self.dilations, self.std_factor = iterations, tuple(dilations), std_factor
        self.memory_limit = int(memory_limit_mib * 2**20)

    @classmethod
    def from_config(
        cls,
        preset: str = 'pamr',
        *,
        iterations: int | None = None,
        dilations: Sequence[int] | None = None,
        std_factor: float = STD_FACTOR,
        memory_limit_mib: float = 256,
    ) -> 'PAMRRefiner':
        """Builds the refiner from a config: a preset, `pamr` or `sclip`, and numbers that override it.

        Raises:
            ValueError: if there is no such preset, or a number is out of range.
        """
        if preset not in PRESETS:
            raise ValueError(f'preset: expected one of {sorted(PRESETS)}, got {preset!r}')
        steps, distances = PRESETS[preset]
        return cls(
            steps if iterations is None else iterations,
            distances if dilations is None else dilations,
            std_factor=std_factor,
            memory_limit_mib=memory_limit_mib,
        )

    @torch.no_grad()
    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        classes = ClassList.of(classes)
        check_inputs(images, predictions, len(classes))
        return [self._refine(image, p, classes) for image, p in zip(images, predictions, strict=True)]

    def _refine(self, image: Tensor, prediction: Prediction, classes: ClassList) -> Prediction:
        # a class that has no probability anywhere cannot gain any
        scored = prediction.probs.flatten(1).any(dim=1)
        if not scored.any():
            return prediction
        averaged = pixel_adaptive_average(
            image.to(prediction.probs.device),
            prediction.probs if scored.all() else prediction.probs[scored],
            self.dilations,
            self.iterations,
            std_factor=self.std_factor,
            memory_limit=self.memory_limit,
        ).clamp_(0, 1)
        if scored.all():
            probs = averaged
        else:
            probs = torch.zeros_like(prediction.probs)
            probs[scored] = averaged
        # averages of sums of 1 are sums of 1, but for rounding
        return redecide(prediction, probs, classes)
