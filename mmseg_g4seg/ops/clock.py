"""A clock for work that a device does in its own time."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor


def device_seconds(images: Sequence[Tensor] | Tensor) -> float:
    """Seconds on a clock that waits for the queue of the images' device.

    Args:
        images: (3, H, W) each, on one device, or none at all.
    """
    if len(images) and images[0].is_cuda:
        torch.cuda.synchronize(images[0].device)
    return time.perf_counter()
