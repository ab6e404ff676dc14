"""ImageNet's colour statistics, which most networks of images were trained with.

Shapes: H W image size.
"""

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def imagenet_pixels(images: Tensor) -> Tensor:
    """Brings float RGB in [0, 1] to ImageNet's mean and deviation: (..., 3, H, W) -> (..., 3, H, W)."""
    mean, std = (torch.tensor(values).view(3, 1, 1).to(images) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std
