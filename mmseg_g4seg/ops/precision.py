"""The precision that a refiner or a source computes in: that of its weights, whatever the loop around it does."""

from contextlib import AbstractContextManager, nullcontext

import torch


def own_precision(device: torch.device) -> AbstractContextManager[None]:
    """Within it autocast is off on a device.

    mmengine's `TestLoop(fp16=True)`, or a user's own `torch.autocast`, is meant for the coarse model. In a prior that
    was loaded in float32 it would round every product to 16 bits; the VAEs of SD 2.1 and SDXL overflow in float16.
    """
    # torch 2.1 knows autocast on no other kind
    return torch.autocast(device.type, enabled=False) if device.type in ('cuda', 'cpu') else nullcontext()
