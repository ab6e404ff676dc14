"""Images in files."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar, cast

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .image_headers import has_sixteen_bits
from .storage import AnyPath, readable

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tif', '.tiff')
EIGHT_BIT = ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'YCbCr')

PATH = TypeVar('PATH', bound=AnyPath)


@contextmanager
def opening_megapixels(most: float | None) -> Iterator[None]:
    """Images of up to so many megapixels are opened meanwhile; None leaves Pillow's limit, 178, as it is.

    Pillow refuses larger ones, since a small file may say that it is a picture that fills the memory.
    """
    before = Image.MAX_IMAGE_PIXELS
    if most is not None:
        Image.MAX_IMAGE_PIXELS = round(most * 1e6 / 2)  # Pillow refuses what has twice as many
    try:
        with warnings.catch_warnings():
            # of those from half the limit on
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def open_whole(path: AnyPath) -> Image.Image:
    """Opens and decodes an image file.

    Raises:
        OSError: if it cannot be read, or is cut short.
        ValueError: if it is damaged; a PNG's check sums count, though its pixels may still decode. If its colours have
            16 bits a channel, of which Pillow keeps 8. If it has more pixels than Pillow opens.
    """
    try:
        source = readable(path)
        with Image.open(source) as image:
            image.verify()  # leaves the image unusable, so that it is opened once more
        with Image.open(source) as image:
            if image.mode in EIGHT_BIT:
                _refuse_sixteen_bits(image)
            image.load()
    except (OSError, ValueError):
        raise
    except Image.DecompressionBombError as error:
        raise ValueError(
            f'{error} A larger limit: --megapixels of g4seg refine-masks, in Python PIL.Image.MAX_IMAGE_PIXELS.'
        ) from error
    except Exception as error:
        raise ValueError(f'damaged: {type(error).__name__}: {error}') from error
    return image


def rgb_pixels(image: Image.Image) -> np.ndarray:
    """Pixels as a viewer shows them, upright: (H, W, 3) uint8 RGB.

    Cameras store what their sensor sees and say by an EXIF tag how to turn it; masks are drawn on the turned picture.

    Raises:
        ValueError: if there are other than 8 bits a channel. What the 12 bits of a camera, or the 16 of a scanner, mean
            in 8 is the user's choice.
    """
    if image.mode not in EIGHT_BIT:
        raise ValueError(f'expected an image of 8 bits a channel, got mode {image.mode}')
    _refuse_sixteen_bits(image)
    return np.array(ImageOps.exif_transpose(image).convert('RGB'))


def _refuse_sixteen_bits(image: Image.Image) -> None:
    if has_sixteen_bits(image):
        # 12 bits in 16, read as 8, are 16 levels: a black picture, and a mask refined by noise
        raise ValueError('expected an image of 8 bits a channel, got 16 bits: convert it by the range that it uses')


def read_image(path: AnyPath) -> Tensor:
    """Reads an image upright, as its EXIF tag says: (3, H, W) float32 RGB in [0, 1].

    Raises:
        OSError: if it cannot be read, or is cut short.
        ValueError: if it is damaged, or has other than 8 bits a channel.
    """
    return torch.from_numpy(read_pixels(path)).permute(2, 0, 1).float() / 255


def read_pixels(path: AnyPath) -> np.ndarray:
    """The same as (H, W, 3) uint8."""
    return rgb_pixels(open_whole(path))


def to_pixels(image: Tensor) -> np.ndarray:
    """Bytes of an image, as pictures are made of: (3, H, W) float RGB in [0, 1] -> (H, W, 3) uint8 in order."""
    # a transposed view would reach who reads bytes in order channel by channel
    return np.ascontiguousarray((image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())


def find_images(folder: PATH) -> dict[str, list[PATH]]:
    """Entries of a folder that are named like images, by their name without suffix."""
    entries = cast(Iterator[PATH], folder.iterdir())
    return by_name(path for path in entries if path.suffix.lower() in IMAGE_SUFFIXES and not is_companion(path))


def is_companion(path: AnyPath) -> bool:
    """Whether it is what macOS writes beside each file on disks of other systems: `._a.png` is no picture."""
    return path.name.startswith('._')


def by_name(paths: Iterable[PATH]) -> dict[str, list[PATH]]:
    """Sorts paths by their names without suffix; several may share one."""
    found: dict[str, list[PATH]] = {}
    for path in sorted(paths, key=lambda p: (p.stem, p.name)):
        found.setdefault(path.stem, []).append(path)
    return found
