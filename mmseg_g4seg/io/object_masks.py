"""Masks of one object in 0 and 255, as most tools draw them. Among class indices, 255 has no label.

Shapes: H W image size.
"""

from collections.abc import Collection, Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmseg_g4seg.prediction import IGNORE_INDEX, ClassList

from .storage import AnyPath, readable

OBJECT = 255
"""The object's value in such a mask."""


def mask_values(paths: Iterable[AnyPath]) -> set[int]:
    """Values of label files, up to the first file that has another than 0 and 255.

    One file does not say what its 255 is: where 1 occurs in others, it is what has no label.
    """
    found: set[int] = set()
    for path in paths:
        try:
            with Image.open(readable(path)) as image:
                # one bit does not tell: tools that make files small keep 0 and 255 in it, and Pillow reads 0 and 1
                tells = len(image.getbands()) == 1 and image.mode != '1'
                values = set(np.unique(np.asarray(image)).tolist()) if tells else set()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # the error comes when its turn does, with the path
        found |= values
        if not found <= {0, OBJECT}:
            break
    return found


def is_object_mask(values: Collection[int], num_classes: int) -> bool:
    """Whether 255 is the object: two classes are named, and no value but 0 and 255 occurs.

    Args:
        values: that occur in a mask, or in all masks of a folder.
        num_classes: C.

    Raises:
        ValueError: if no other value occurs and there are other than two classes. All would count as unlabelled.
    """
    # among 256 classes and more, 255 is one of them
    if num_classes > IGNORE_INDEX or OBJECT not in values or not set(values) <= {0, OBJECT}:
        return False
    if num_classes != 2:
        raise ValueError(
            f'expected class indices below {num_classes}, got no other values than 0 and 255: a mask of one object '
            'needs two class names, background and the object'
        )
    return True


def object_labels(label_map: Tensor, classes: ClassList) -> Tensor:
    """Class indices of an object mask: (H, W) bool, or int64 of 0 and 255 -> (H, W) int64."""
    background = classes.background or 0
    return torch.where(label_map > 0, 1 - background, background)


def object_values(label_map: Tensor, classes: ClassList) -> Tensor:
    """The inverse of `object_labels`: (H, W) int64 indices of two classes -> (H, W) int64 of 0 and 255."""
    return (label_map == 1 - (classes.background or 0)).long() * OBJECT
