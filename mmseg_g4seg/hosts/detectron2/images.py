"""The picture behind a Detectron2 input, and its key.

Shapes: h w the network's input size, H W the size of the output.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.utils.file_io import PathManager
from torch import Tensor

from mmseg_g4seg.io.images import read_pixels
from mmseg_g4seg.ops.masks import resize_maps

FORMATS = ('BGR', 'RGB')
"""Channel orders of `INPUT.FORMAT` that hold a picture."""


def check_format(input_format: str) -> None:
    """Raises ValueError unless a picture can be read from inputs of this `INPUT.FORMAT`."""
    if input_format not in FORMATS:
        raise ValueError(
            f'INPUT.FORMAT: a refiner needs the picture, expected one of {list(FORMATS)}, got {input_format!r}'
        )


def recover_image(inputs: Mapping[str, Any], input_format: str, size: Sequence[int]) -> Tensor:
    """Brings an input to the grid of the output.

    Args:
        inputs: of a model for one image: `image` is (3, h, w), uint8 or float in [0, 255], resized, not normalised.
        input_format: `BGR` or `RGB`.
        size: (H, W) of the output, which has the size that `height` and `width` asked for.

    Returns:
        (3, H, W) float32 RGB in [0, 1].

    Raises:
        ValueError: if the input is no picture of 0 to 255.
    """
    image = inputs['image']
    where = inputs.get('file_name', 'image')
    if image.ndim != 3 or len(image) != 3:
        raise ValueError(f'{where}: expected an input (3, h, w), got {tuple(image.shape)}')
    pixels = image.float()
    low, high = (float(bound) for bound in pixels.aminmax())
    # a mapper that normalises, or divides by 255, would have its pictures refined as if they were black
    if low < 0 or high > 255 or (image.is_floating_point() and 0 < high <= 1):
        raise ValueError(
            f'{where}: a refiner needs the picture, 0 to 255, as DatasetMapper gives it; got {low:.4g} to {high:.4g}'
        )
    return resize_maps((pixels.flip(0) if input_format == 'BGR' else pixels) / 255, size)


def image_key(inputs: Mapping[str, Any]) -> str:
    """An image's key: its file name, so that noise does not depend on order, batch or machine."""
    # DefaultPredictor gives no name: every picture gets the same noise, and a second call the same masks
    name = str(inputs.get('file_name') or '')
    return Path(name).name if name else 'image'


def read_picture(path: str) -> np.ndarray | None:
    """Reads a file of a data set: (H, W, 3) uint8 RGB; None where it cannot be read."""
    try:
        return read_pixels(Path(PathManager.get_local_path(path)))
    except (OSError, ValueError):  # of 16 bits, or taken away: the masks are shown without it
        return None
