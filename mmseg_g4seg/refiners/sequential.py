"""A chain of refiners: each refines the result of the one before."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction
from mmseg_g4seg.registry import register

from .base import Refiner, Stage


def numbered(name: str, before: Sequence[str]) -> str:
    """What a stage is called behind others: names head the columns of a table, which tells the second of a kind."""
    count = sum(other.split(' #')[0] == name for other in before)
    return f'{name} #{count + 1}' if count else name


@register
class SequentialRefiner(Refiner):
    """Runs refiners one after the other; each passes its soft probabilities to the next."""

    def __init__(self, refiners: Sequence[Refiner]) -> None:
        """Args:
            refiners: at least one, in their order.

        Raises:
            ValueError: if there is none, or if one of them has its own `classes`, which belong beside the chain.
        """
        if not refiners:
            raise ValueError('refiners: expected at least one, got none')
        self.refiners = list(refiners)
        for refiner in self.refiners:
            if refiner.class_options:
                raise ValueError(
                    f'classes: expected beside the refiners of a chain, got it in a {type(refiner).__name__}'
                )

    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        return self.refine_stages(images, predictions, classes, keys=keys)[-1].predictions

    def refine_stages(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Stage]:
        stages: list[Stage] = []
        current = list(predictions)
        for refiner in self.refiners:
            for stage in refiner.refine_stages(images, current, classes, keys=keys):
                stages.append(replace(stage, name=numbered(stage.name, [s.name for s in stages])))
            # soft probabilities, not labels: the next one sees how sure this one was
            current = stages[-1].predictions
        return stages

    def to(self, device: torch.device | str) -> 'SequentialRefiner':
        for refiner in self.refiners:
            refiner.to(device)
        return self
