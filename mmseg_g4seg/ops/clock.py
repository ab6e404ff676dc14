"""A clock for work that a device does in its own time."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor


def seconds_on(device: torch.device) -> float:
    """Seconds on a clock that waits for a device's queue."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter()


def device_seconds(images: Sequence[Tensor] | Tensor) -> float:
    """Seconds on a clock that waits for the queue of the images' device.

    Args:
        images: (3, H, W) each, on one device, or none at all.
    """
    return seconds_on(images[0].device if len(images) else torch.device('cpu'))
