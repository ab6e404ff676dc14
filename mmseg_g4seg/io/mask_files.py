"""What a mask file holds, whatever its format, and how it becomes a prediction for its image.

Shapes: C classes, h w grid of the file, H W image size.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.masks import soften_labels
from mmseg_g4seg.prediction import ClassList, Prediction

from .storage import AnyPath

NEGLIGIBLE = 1 / 1024
"""A class whose probability stays below it everywhere is left out of sparse files."""


@dataclass(frozen=True)
class FileMask:
    """Either scores or labels.

    Attributes:
        probs: (C, h, w) float32 that sum to 1 over classes; None in a file of labels.
        label_map: (h, w) int64, values outside [0, C) unlabelled; None in a file of scores.
    """

    probs: Tensor | None = None
    label_map: Tensor | None = None


class MaskFormat(ABC):
    """Reads and writes the masks of one image."""

    suffix: str

    def __init__(self, classes: ClassList) -> None:
        self.classes = classes

    @abstractmethod
    def read(self, path: AnyPath) -> FileMask:
        """Reads a file; raises ValueError (or OSError) that says what is wrong with it."""

    @abstractmethod
    def encode(self, prediction: Prediction) -> bytes:
        """The content of a file for a prediction; the same prediction gives the same bytes."""


def make_prediction(
    mask: FileMask, size: tuple[int, int], num_classes: int, *, soften: float, any_size: bool = False
) -> Prediction:
    """Brings a file's mask to its image.

    Args:
        mask: as read.
        size: (H, W) of the image.
        num_classes: C.
        soften: labels become probabilities by a Gaussian of this deviation, as a share of the
            image's longer side; see `soften_labels`.
        any_size: scores may lie on another grid than the image's; they are resized bilinearly.

    Raises:
        ValueError: if the sizes differ.
    """
    if mask.label_map is not None:
        _check_size(mask.label_map, size, 'labels')
        return Prediction(soften_labels(mask.label_map, num_classes, soften * max(size)), mask.label_map)
    assert mask.probs is not None
    if not any_size:
        _check_size(mask.probs, size, 'scores')
    probs = mask.probs
    if probs.shape[1:] != size:  # scores on a network's grid: a step may be 4 or 8 pixels
        probs = F.interpolate(probs[None], size, mode='bilinear', align_corners=False)[0]
    return Prediction(probs, probs.argmax(dim=0))


def _check_size(maps: Tensor, size: tuple[int, int], what: str) -> None:
    if tuple(maps.shape[-2:]) != tuple(size):
        raise ValueError(
            f'expected {what} of {size[0]} x {size[1]} (height x width) as the image has, got '
            f'{maps.shape[-2]} x {maps.shape[-1]}'
        )


def stored_classes(prediction: Prediction) -> list[int]:
    """Classes worth a place in a sparse file: those in the label map, and those that come near it."""
    probs = prediction.probs
    labels = prediction.label_map[(prediction.label_map >= 0) & (prediction.label_map < len(probs))]
    present = torch.bincount(labels.flatten(), minlength=len(probs)) > 0
    # a class that is present stays, however small: a file must give back the labels that were decided
    return torch.where(present | (probs.flatten(1).amax(dim=1) >= NEGLIGIBLE))[0].tolist()


def as_labels(prediction: Prediction, ignore_index: int) -> Tensor:
    """The label map with one value for all that is unlabelled: (H, W) int64."""
    labels = prediction.label_map
    labelled = (labels >= 0) & (labels < len(prediction.probs))
    return torch.where(labelled, labels, ignore_index)
