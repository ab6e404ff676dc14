"""The precision that a refiner or a source computes in: that of its weights, whatever the loop around it does."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def own_precision(device: torch.device) -> AbstractContextManager[None]:
    """Within it autocast is off on a device.

    mmengine's `TestLoop(fp16=True)`, or a user's own `torch.autocast`, is meant for the coarse model. In a prior that
    was loaded in float32 it would round every product to 16 bits; the VAEs of SD 2.1 and SDXL overflow in float16.
    """
    # torch 2.1 knows autocast on no other kind
    return torch.autocast(device.type, enabled=False) if device.type in ('cuda', 'cpu') else nullcontext()


@contextmanager
def without_autocast() -> Iterator[None]:
    """As `own_precision`, on every device; `@without_autocast()` before what computes with weights of its own."""
    gpu = own_precision(torch.device('cuda')) if torch.cuda.is_available() else nullcontext()
    # both: images may be on the CPU, and weights on a GPU
    with own_precision(torch.device('cpu')), gpu:
        yield
