"""Recovers the picture from a segmentor's normalised, padded, flipped inputs.

Shapes: Hp Wp padded input, H W image size as the data set gave it.
"""

from pathlib import Path
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from .private_names import private_attribute

OVERSHOOT = 32.0
"""What bicubic resizing of floats adds at edges, beyond 0 to 255."""
LARGEST_NORMALISED = 4.0
"""Above what pixels reach that are normalised: white is 2.64 by ImageNet's mean and deviation."""


def recover_image(inputs: Tensor, metainfo: dict[str, Any], preprocessor: BaseDataPreprocessor) -> Tensor:
    """Undoes normalisation, padding, flip and resizing.

    Args:
        inputs: (3, Hp, Wp) float, as the data preprocessor gave it.
        metainfo: of the image's data sample.
        preprocessor: mmseg's `SegDataPreProcessor`, whose mean, deviation and channel order count.

    Returns:
        (3, H, W) float32 RGB in [0, 1], H W being `ori_shape` where the sample has it.

    Raises:
        ValueError: if the inputs have other than three channels, or are no picture of 0 to 255 once normalisation is
            undone.
    """
    if inputs.ndim != 3 or inputs.shape[0] != 3:
        raise ValueError(f'a refiner needs (3, H, W) inputs, got {tuple(inputs.shape)}')
    image = inputs.float()
    # mmengine's base class, which a segmentor without a preprocessor has, leaves pixels as they are
    plain = type(preprocessor) is BaseDataPreprocessor
    if not plain and private_attribute(preprocessor, 'enable_normalize'):
        image = image * preprocessor.std.to(image) + preprocessor.mean.to(image)
    # mmseg loads BGR; a preprocessor that converts has made it RGB
    if plain or not private_attribute(preprocessor, 'channel_conversion'):
        image = image.flip(0)
    # the same fields in the same order as BaseSegmentor.postprocess_result
    left, right, top, bottom = metainfo.get('img_padding_size', metainfo.get('padding_size', [0] * 4))
    image = image[:, top : image.shape[1] - bottom, left : image.shape[2] - right]
    _check_range(image, metainfo)
    image = (image / 255).clamp(0, 1)
    if metainfo.get('flip'):
        image = image.flip(-1 if metainfo.get('flip_direction') == 'horizontal' else -2)
    size = tuple(metainfo.get('ori_shape', image.shape[1:]))[:2]
    if size == tuple(image.shape[1:]):
        return image
    shrinks = size[0] < image.shape[1] or size[1] < image.shape[2]
    resized = F.interpolate(image[None], size, mode='bilinear', align_corners=False, antialias=shrinks)
    return resized[0].clamp(0, 1)


def _check_range(image: Tensor, metainfo: dict[str, Any]) -> None:
    """Raises ValueError unless (3, h, w) pixels can be those of a picture of 0 to 255.

    Clamped to that, a 16-bit picture is white, one of 0 to 1 black, and one that the pipeline normalised, too: both are
    refined without a word, and for the worse.
    """
    lowest, highest = (float(bound) for bound in image.aminmax())
    # a night may be as dark as pixels of 0 to 1, or normalised ones, are; but its pixels are whole numbers
    whole = highest >= LARGEST_NORMALISED or float((image - image.round()).abs().max()) < 0.2
    if lowest >= -OVERSHOOT and highest <= 255 + OVERSHOOT and whole:
        return
    raise ValueError(
        f'{metainfo.get("img_path", "image")}: a refiner needs the picture, 0 to 255 behind what the data preprocessor '
        f'undoes; got {lowest:.4g} to {highest:.4g}. Does the pipeline normalise (Normalize), divide by 255, or read '
        "16 bits (imdecode 'unchanged')? Let the pipeline load 8 bits, and SegDataPreProcessor alone normalise, by "
        'a mean and std of 0 to 255'
    )


def image_key(metainfo: dict[str, Any]) -> str:
    """The image's key: its file name, so that noise does not depend on order, batch or machine."""
    path = str(metainfo.get('img_path') or '')
    return Path(path).name if path else 'image'
