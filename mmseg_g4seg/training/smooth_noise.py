"""Smooth random fields, and blobs cut from them.

Shapes: C fields, H W size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

NODES = 6
"""Random values along each side; what lies between is interpolated."""


def smooth_noise(count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Normal random values at 6×6 nodes, interpolated: (C, H, W) float32."""
    nodes = torch.randn(1, count, NODES, NODES, generator=generator)
    return F.interpolate(nodes, size, mode='bicubic', align_corners=False)[0]


def random_blob(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """A region of a tenth to a half of an image, in one piece or several: (H, W) bool."""
    height = smooth_noise(1, size, generator)[0]
    share = 0.1 + 0.4 * float(torch.rand((), generator=generator))
    return height > height.flatten().quantile(1 - share)
