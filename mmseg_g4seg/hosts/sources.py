"""Two lines from an image and names to a coarse mask, whatever library the image comes from.

Shapes: C classes, H W image size.

    source = load_source('sclip')
    mask = source(image, ['background', 'cat', 'dog'])
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from mmseg_g4seg.coarse import CoarseSource, build_source
from mmseg_g4seg.prediction import ClassName, Key

from .arrays import as_image


def load_source(method: str | Mapping[str, Any], *, device: str = 'cpu', **options: Any) -> 'ImageSource':
    """Loads a source: what makes coarse masks from an image and class names.

    Args:
        method: `sclip`, `maskclip`, `groupvit`, `seediff`, `diffsegmenter` or another method, in any case; or
            `dict(type='SeeDiff', ...)`.
        device: where the source runs, such as `cuda`.
        options: of the method, such as `logit_scale` or `prior`; they override those of the dict.

    Returns:
        An `ImageSource`. Call it with an image and class names.

    Raises:
        ValueError: if there is no such method, or an option is not known.
        FileNotFoundError: if the prior does not exist.
    """
    return ImageSource(build_source(method, options).to(device))


class ImageSource:
    """Makes masks for images of NumPy, PIL or torch, and returns them in the same library."""

    def __init__(self, source: CoarseSource) -> None:
        self.source = source

    def __call__(
        self,
        image: np.ndarray | Tensor | Image.Image,
        classes: Sequence[ClassName],
        *,
        key: Key = 0,
        probs: bool = False,
    ) -> np.ndarray | Tensor | Image.Image:
        """Predicts one image.

        Args:
            image: a PIL image; an array (H, W, 3) uint8 RGB in [0, 255] or float in [0, 1]; or a tensor (3, H, W) of
                these types.
            classes: C names, with `background` for the rest; or a `ClassList`. For a source that reads a prior's
                attention, name only the classes that are in the image.
            key: name or number of the image; key and seed determine the noise.
            probs: whether to return probabilities in place of a mask.

        Returns:
            Class indices (H, W) int64; for a PIL image a PIL image of mode `L` (`I` from 257 classes on). Or
            probabilities (C, H, W) float32 that sum to 1; for a PIL image an array.

        Raises:
            TypeError: if image or names have an unsupported type.
            ValueError: if shapes, ranges or names do not fit.
        """
        found = self.source.predict(as_image(image), classes, key=key)
        result = found.probs if probs else found.label_map
        if isinstance(image, Tensor):
            return result.to(image.device)
        array: np.ndarray = result.cpu().numpy()
        if probs or isinstance(image, np.ndarray):
            return array
        return Image.fromarray(array.astype(np.uint8 if len(classes) <= 256 else np.int32))
