"""What a source of coarse masks takes and gives; the methods (SeeDiff, SCLIP, CAM ...) are one file each beside this.

Shapes: C classes of the data set, H W image size.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.ops.masks import decide_labels
from mmseg_g4seg.prediction import ClassList, ClassName, Key, Prediction


class CoarseSource(ABC):
    """Makes coarse masks where a user has none: images and the names of their classes in, predictions out.

    What it gives goes straight into a `Refiner`. A source of your own is a subclass with `@register`.
    """

    @classmethod
    def methods(cls) -> dict[str, dict[str, Any]]:
        """What `load_source` calls it, in lower case, and the config that each name stands for."""
        return {cls.__name__.lower(): {'type': cls.__name__}}

    def to(self, device: torch.device | str) -> 'CoarseSource':
        """Moves what has weights to a device, in place."""
        return self

    def predict(self, image: Tensor, classes: ClassList | Sequence[ClassName], *, key: Key = 0) -> Prediction:
        """Predicts one image, (3, H, W) float RGB in [0, 1]; arguments and errors as `predict_batch`."""
        return self.predict_batch([image], classes, keys=[key])[0]

    @abstractmethod
    def predict_batch(
        self,
        images: Sequence[Tensor],
        classes: ClassList | Sequence[ClassName],
        *,
        keys: Sequence[Key] | None = None,
    ) -> list[Prediction]:
        """Predicts several images, which may differ in size.

        Args:
            images: (3, H, W) float RGB in [0, 1] each.
            classes: the C classes to tell apart.
            keys: of the images, 0, 1, 2 ... when not given; with the seed they fix what is drawn at random.

        Returns:
            One prediction an image, on the image's grid and device: (C, H, W) probabilities that sum to 1, and
            labels by the source's own rule.

        Raises:
            ValueError: if an image or a name does not fit; names which.
        """

    def check(self, classes: ClassList) -> None:  # noqa: B027
        """Raises ValueError if a class cannot be looked for."""

    def predict_present(
        self, image: Tensor, classes: ClassList | Sequence[ClassName], present: Sequence[int], *, key: Key = 0
    ) -> Prediction:
        """Predicts one image, with those classes alone that it has.

        Args:
            image: (3, H, W) float RGB in [0, 1].
            classes: the C classes.
            present: indices of those in the image; the background counts whether it is among them or not.
            key: of the image.

        Returns:
            As `predict`: (C, H, W) probabilities, 0 of the other classes. Where neither a class is present nor a
            background is among them, all are as probable.

        Raises:
            ValueError: as `predict`, or if there is no class of such an index.
        """
        classes = ClassList.of(classes)
        wrong = [c for c in present if not 0 <= c < len(classes)]
        if wrong:
            raise ValueError(f'present: expected class indices below {len(classes)}, got {wrong[0]}')
        self.check(classes)  # of all classes: a rare one's fault must not end a run at its thousandth picture
        chosen = sorted({*present, *([] if classes.background is None else [classes.background])})
        size = tuple(image.shape[-2:])
        if not chosen:
            uniform = torch.full((len(classes), *size), 1 / len(classes), device=image.device)
            return Prediction(uniform, torch.zeros(size, dtype=torch.int64, device=image.device))
        found = self.predict(image, classes.subset(chosen), key=key)
        probs = found.probs.new_zeros(len(classes), *size)
        probs[chosen] = found.probs
        return Prediction(probs, torch.tensor(chosen, device=image.device)[found.label_map])


def check_images(images: Sequence[Tensor], keys: Sequence[Key] | None) -> list[Key]:
    """Checks images, (3, H, W) float RGB in [0, 1] each, and gives one key an image: 0, 1, 2 ... when there are none.

    Raises:
        ValueError: if an image or the number of keys does not fit; names which.
    """
    for i, image in enumerate(images):
        if image.ndim != 3 or len(image) != 3 or not image.is_floating_point() or image.numel() == 0:
            raise ValueError(f'image {i}: expected (3, H, W) float RGB, got {image.dtype} {tuple(image.shape)}')
        # NaN fails both comparisons; a little beyond, since bicubic resizing overshoots
        if not (image.min() >= -1e-3 and image.max() <= 1 + 1e-3):
            raise ValueError(f'image {i}: expected pixels in [0, 1], got {float(image.min())} to {float(image.max())}')
    found: list[Key] = list(range(len(images)) if keys is None else keys)
    if len(found) != len(images):
        raise ValueError(f'expected one key an image, got {len(found)} keys for {len(images)} images')
    return found


def share_out(scores: Tensor, classes: ClassList) -> Prediction:
    """Makes a prediction of scores that need not sum to 1.

    Args:
        scores: (C, H, W) float, at least 0.
        classes: whose background and threshold, if there is one, decide.

    Returns:
        Scores over their sum; where no class has a score, all that are known are as probable.

    Raises:
        ValueError: if there is no class.
    """
    if not len(classes):
        raise ValueError('classes: expected one at least, got none')
    total = scores.sum(dim=0)
    known = torch.tensor([c == classes.background or classes.knows(c) for c in range(len(classes))])
    even = (known if known.any() else ~known).to(scores)  # (C,)
    probs = torch.where(total > 0, scores / total, (even / even.sum())[:, None, None])
    labels = decide_labels(probs, background_index=classes.background, background_threshold=classes.threshold)
    return Prediction(probs, labels)
