"""The base class of refiners.

Shapes: C classes of the data set, H W image size.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmseg_g4seg.ops.clock import device_seconds
from mmseg_g4seg.ops.masks import decide_labels
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction


@dataclass(frozen=True)
class Stage:
    """What one refiner of a chain made of a batch.

    Attributes:
        name: of the refiner, as tables show it.
        predictions: one an image.
        seconds: that the whole batch took.
    """

    name: str
    predictions: list[Prediction]
    seconds: float


class Refiner(ABC):
    """Takes an image and a prediction, and returns a better prediction of the same shape."""

    name = 'refined'
    """Name of this refiner's masks in tables."""
    class_options: Mapping[str, Any] = {}
    """What the config says about classes, under `classes`. A host applies it to its own class list:
    `ClassList(names).with_options(refiner.class_options)`."""

    needs_cpu: ClassVar[bool] = False
    """Whether it computes on the CPU, whatever its device. A host may then use the GPU for others at the same time."""

    def to(self, device: torch.device | str) -> 'Refiner':
        """Moves what has weights to a device, in place."""
        return self

    def refine_stages(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Stage]:
        """As `refine_batch`, on images (3, H, W), but returns the result and the seconds of every stage of a chain."""
        start = device_seconds(images)
        refined = self.refine_batch(images, predictions, classes, keys=keys)
        return [Stage(self.name, refined, device_seconds(images) - start)]

    def refine(
        self,
        image: Tensor,
        prediction: Prediction,
        classes: ClassList | Sequence[ClassName],
        *,
        key: Key = 0,
    ) -> Prediction:
        """Refines one image.

        Args:
            image: (3, H, W) float RGB in [0, 1].
            prediction: the coarse prediction, on the image's grid.
            classes: C names, or a `ClassList`. Of plain names, the one called background is the background.
            key: name or number of the image; key and seed determine the noise.

        Returns:
            The refined prediction, on the device of `prediction`.

        Raises:
            ValueError: if shapes, ranges or names do not fit, or scores are not finite.
        """
        return self.refine_batch([image], [prediction], classes, keys=[key])[0]

    @abstractmethod
    def refine_batch(
        self,
        images: Sequence[Tensor],
        predictions: Sequence[Prediction],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        """Refines several images, (3, H, W), which may differ in size; arguments as `refine`, one an image.

        `keys` are 0, 1, 2 … when not given.
        """


def redecide(prediction: Prediction, probs: Tensor, classes: ClassList) -> Prediction:
    """Gives a prediction new probabilities and the labels that follow; unlabelled pixels stay unlabelled.

    Args:
        prediction: the one that `probs` (C, H, W) replace the probabilities of.
        probs: new probabilities.
        classes: whose background and threshold decide, see `decide_labels`.
    """
    # a threshold is the coarse model's own rule: argmax in its place would call objects what it called background
    labels = decide_labels(probs, background_index=classes.background, background_threshold=classes.threshold)
    # 255 in a mask from a file means that nobody knows: a refiner must not invent a label there
    labelled = (prediction.label_map >= 0) & (prediction.label_map < len(probs))
    return Prediction(probs, torch.where(labelled, labels, prediction.label_map))


def check_inputs(images: Sequence[Tensor], predictions: Sequence[Prediction], num_classes: int) -> None:
    """Raises ValueError, naming image and fault, unless images (3, H, W) and predictions of C classes fit together."""
    # zip would leave the rest out without a word
    if len(images) != len(predictions):
        raise ValueError(f'expected one prediction an image, got {len(images)} images, {len(predictions)} predictions')
    for i, (image, prediction) in enumerate(zip(images, predictions, strict=True)):
        _check_one(f'image {i}', image, prediction, num_classes)


def _check_one(where: str, image: Tensor, prediction: Prediction, num_classes: int) -> None:
    probs, label_map = prediction.probs, prediction.label_map
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        raise ValueError(f'{where}: expected (3, H, W) float RGB, got {image.dtype} {tuple(image.shape)}')
    if image.numel() == 0:
        raise ValueError(f'{where}: expected at least one pixel, got {tuple(image.shape)}')
    if probs.shape != (num_classes, *image.shape[1:]):
        raise ValueError(
            f'{where}: expected probs ({num_classes}, {image.shape[1]}, {image.shape[2]}) for {num_classes} class '
            f'names, got {tuple(probs.shape)}'
        )
    if label_map.shape != image.shape[1:] or label_map.is_floating_point():
        raise ValueError(
            f'{where}: expected an integer label_map {tuple(image.shape[1:])}, got '
            f'{label_map.dtype} {tuple(label_map.shape)}'
        )
    # a little beyond, since bicubic resizing overshoots; 0 to 255 is what is meant to be caught
    if not torch.isfinite(image).all() or image.min() < -1e-3 or image.max() > 1 + 1e-3:
        raise ValueError(f'{where}: expected pixels in [0, 1], got {float(image.min())} to {float(image.max())}')
    low, high = torch.aminmax(probs)  # which NaN spreads to; torch.isfinite takes the memory of `probs` once more
    if not (low.isfinite() and high.isfinite()):
        count = int((~torch.isfinite(probs)).sum())
        raise ValueError(f'{where}: expected finite probs, got {count} that are NaN or infinite')
    # logits mostly lie outside, and mixing them would give a mask that looks like any other
    if low < -1e-4 or high > 1 + 1e-4:
        raise ValueError(
            f'{where}: expected probs in [0, 1], got {float(low)} to {float(high)}; convert logits first (score_type)'
        )
