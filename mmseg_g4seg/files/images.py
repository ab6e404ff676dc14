"""Images in files."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.webp', '.bmp', '.tif', '.tiff')
EIGHT_BIT = ('1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'CMYK', 'YCbCr')


def read_image(path: Path) -> Tensor:
    """Reads an image upright, as its EXIF tag says: (3, H, W) float32 RGB in [0, 1].

    Raises:
        OSError: if it cannot be read, or is cut short.
        ValueError: if it has other than 8 bits a channel.
    """
    with Image.open(path) as opened:
        if opened.mode not in EIGHT_BIT:
            raise ValueError(f'expected an image of 8 bits a channel, got mode {opened.mode}')
        pixels = np.array(ImageOps.exif_transpose(opened).convert('RGB'))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def find_images(folder: Path) -> dict[str, list[Path]]:
    """Entries of a folder that are named like images, by their name without suffix."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found.setdefault(path.stem, []).append(path)
    return found
