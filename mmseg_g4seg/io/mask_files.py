"""What a mask file holds, whatever its format, and how it becomes a prediction for its image.

Shapes: C classes, K classes that the image may have, h w grid of the file, H W image size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.ops.masks import decide_labels, present_classes, soften_labels
from mmseg_g4seg.prediction import ClassList, Prediction

from .storage import AnyPath

NEGLIGIBLE = 1 / 1024
"""A class whose probability stays below it everywhere is left out of sparse files."""


@dataclass(frozen=True)
class FileMask:
    """Either scores or labels.

    Attributes:
        probs: (K, h, w) float32 that sum to 1 over classes; None in a file of labels.
        label_map: (h, w) int64, values outside [0, C) unlabelled; None in a file of scores.
        classes: K ascending indices of the classes that `probs` are of, the others being 0 everywhere; None: all C.
    """

    probs: Tensor | None = None
    label_map: Tensor | None = None
    classes: Sequence[int] | None = None

    def planes(self, wanted: Sequence[int]) -> Tensor:
        """The scores of some classes: (K, h, w) float32; not copied where the file holds just these."""
        assert self.probs is not None
        held = list(range(len(self.probs)) if self.classes is None else self.classes)
        if held == list(wanted):
            return self.probs
        planes = self.probs.new_zeros(len(wanted), *self.probs.shape[1:])
        for plane, c in zip(planes, wanted, strict=True):
            if c in held:
                plane.copy_(self.probs[held.index(c)])
        return planes


class MaskFormat(ABC):
    """Reads and writes the masks of one image."""

    suffix: str

    def __init__(self, classes: ClassList) -> None:
        self.classes = classes

    @abstractmethod
    def read(self, path: AnyPath) -> FileMask:
        """Reads a file; raises ValueError (or OSError) that says what is wrong with it."""

    @abstractmethod
    def encode(self, prediction: Prediction, kept: Sequence[int] | None = None) -> bytes:
        """The content of a file for a prediction; the same prediction gives the same bytes.

        Args:
            prediction: (K, H, W) probabilities and labels below K.
            kept: K indices of its classes among the file's; all C when not given.
        """


def classes_in_play(mask: FileMask, classes: ClassList) -> list[int]:
    """The classes that an image may have: ascending indices of those that its mask has, and of the background.

    All others have no probability in any pixel, and no refiner gives them any: work and memory follow these classes,
    not the data set's. Class 0 is always there, since argmax names it where no class has a probability.
    """
    if mask.label_map is None:
        found = range(len(classes)) if mask.classes is None else mask.classes
    else:
        found = present_classes(mask.label_map, len(classes))
    return sorted({0, *found, *([] if classes.background is None else [classes.background])})


def make_prediction(
    mask: FileMask,
    size: tuple[int, int],
    num_classes: int,
    *,
    soften: float,
    any_size: bool = False,
    kept: Sequence[int] | None = None,
    classes: ClassList | None = None,
) -> Prediction:
    """Brings a file's mask to its image.

    Args:
        mask: as read.
        size: (H, W) of the image.
        num_classes: C.
        soften: labels become probabilities by a Gaussian of this deviation, as a share of the
            image's longer side; see `soften_labels`.
        any_size: scores may lie on another grid than the image's; they are resized bilinearly.
        kept: K classes that the prediction is of, see `classes_in_play`; its labels are places in this list. All C
            when not given.
        classes: these K, whose threshold decides the labels of scores; argmax does when not given.

    Raises:
        ValueError: if the sizes differ, or height and width of scores are exchanged.
    """
    kept = range(num_classes) if kept is None else kept
    if mask.label_map is not None:
        _check_size(mask.label_map, size, 'labels')
        labels = mask.label_map if len(kept) == num_classes else _places(mask.label_map, kept, num_classes)
        # far from any label each of all C classes is as probable, those that are left out, too
        return Prediction(soften_labels(labels, len(kept), soften * max(size), uniform=1 / num_classes), labels)
    assert mask.probs is not None
    if not any_size:
        _check_size(mask.probs, size, 'scores')
    height, width = mask.probs.shape[-2:]
    # no network makes upright scores of a picture that is wider than high: stretched, they would lie across it
    if (size[0] - size[1]) * (height - width) < 0:
        raise ValueError(
            f'expected scores (classes, height, width) of an image of {size[0]} x {size[1]}, got {height} x {width}: '
            'are height and width exchanged?'
        )
    probs = mask.planes(kept)
    if probs.shape[1:] != size:  # scores on a network's grid: a step may be 4 or 8 pixels
        probs = F.interpolate(probs[None], size, mode='bilinear', align_corners=False)[0]
    # the refined labels follow the threshold: by argmax, the coarse ones would differ where nothing was refined
    background, threshold = (None, None) if classes is None else (classes.background, classes.threshold)
    return Prediction(probs, decide_labels(probs, background_index=background, background_threshold=threshold))


def _check_size(maps: Tensor, size: tuple[int, int], what: str) -> None:
    if tuple(maps.shape[-2:]) != tuple(size):
        raise ValueError(
            f'expected {what} of {size[0]} x {size[1]} (height x width) as the image has, got '
            f'{maps.shape[-2]} x {maps.shape[-1]}'
        )


def predict_labels(label_map: Tensor, classes: ClassList, *, soften: float) -> tuple[Prediction, list[int]]:
    """A prediction of a label map (H, W) int64, of its classes in play, and which these are; see `make_prediction`."""
    mask, size = FileMask(label_map=label_map), (label_map.shape[0], label_map.shape[1])
    kept = classes_in_play(mask, classes)
    return make_prediction(mask, size, len(classes), soften=soften, kept=kept), kept


def _places(label_map: Tensor, kept: Sequence[int], num_classes: int) -> Tensor:
    """Class indices (H, W) as places in a list of K classes that has all of them; -1 where there is no label."""
    places = torch.full((num_classes + 1,), -1)
    places[list(kept)] = torch.arange(len(kept))
    return places[torch.where((label_map >= 0) & (label_map < num_classes), label_map, num_classes)]


def stored_classes(prediction: Prediction) -> list[int]:
    """Classes worth a place in a sparse file: those in the label map, and those that come near it."""
    probs = prediction.probs
    labels = prediction.label_map[(prediction.label_map >= 0) & (prediction.label_map < len(probs))]
    present = torch.bincount(labels.flatten(), minlength=len(probs)) > 0
    # a class that is present stays, however small: a file must give back the labels that were decided
    return torch.where(present | (probs.flatten(1).amax(dim=1) >= NEGLIGIBLE))[0].tolist()


def as_labels(prediction: Prediction, ignore_index: int, kept: Sequence[int] | None = None) -> Tensor:
    """The label map with one value for all that is unlabelled: (H, W) int64.

    Args:
        prediction: (K, H, W) probabilities and labels below K.
        ignore_index: that value.
        kept: K indices that its classes have in the data set; all when not given.
    """
    labels = prediction.label_map
    labelled = (labels >= 0) & (labels < len(prediction.probs))
    named = labels if kept is None else torch.tensor(kept, device=labels.device)[labels.where(labelled, 0)]
    return torch.where(labelled, named, ignore_index)
