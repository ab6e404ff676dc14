"""Label maps with the faults of a coarse model: displaced borders, and parts taken for another class.

Shapes: H W image size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .images import IGNORE_INDEX
from .smooth_noise import random_blob, smooth_noise

MOST_DISPLACED = 0.06
"""Highest standard deviation of a displacement, in sides of the image."""
CONFUSED = 0.5
"""How often a part of a class is taken for another."""


def imperfect_mask(label_map: Tensor, other_classes: Sequence[int], generator: torch.Generator) -> Tensor:
    """Displaces a label map's borders, and in half of the cases gives a part of one class to another.

    Args:
        label_map: (H, W) uint8, 255 where unlabelled, which stays unlabelled.
        other_classes: what a part may be taken for.
        generator: of all draws.

    Returns:
        (H, W) uint8.
    """
    displaced = _displace(label_map, generator)
    part = random_blob(tuple(label_map.shape), generator)
    shown = displaced[part & (displaced != IGNORE_INDEX)].unique().tolist()
    if not shown or not other_classes or torch.rand((), generator=generator) >= CONFUSED:
        return displaced
    mistaken, other = (int(c[torch.randint(len(c), (), generator=generator)]) for c in (shown, other_classes))
    return torch.where(part & (displaced == mistaken), other, displaced)


def _displace(label_map: Tensor, generator: torch.Generator) -> Tensor:
    """Takes each pixel from a place nearby, smoothly: (H, W)."""
    size = tuple(label_map.shape)
    reach = 2 * MOST_DISPLACED * torch.rand((), generator=generator)  # sides go from -1 to 1
    shift = reach * smooth_noise(2, size, generator).permute(1, 2, 0)
    here = F.affine_grid(torch.eye(2, 3)[None], [1, 1, *size], align_corners=False)
    taken = F.grid_sample(
        label_map.float()[None, None], here + shift, mode='nearest', padding_mode='border', align_corners=False
    )
    return taken[0, 0].to(label_map.dtype)
