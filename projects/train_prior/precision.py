"""The precision that training computes in."""

from contextlib import AbstractContextManager

import torch


def mixed_precision(device: str) -> AbstractContextManager:
    """Computes a block in bfloat16, or in float32 on a CPU without AVX-512.

    Such a CPU only emulates bfloat16, which is many times slower than float32.

    Args:
        device: what the block runs on, such as `cpu` or `cuda:0`.
    """
    kind = torch.device(device).type
    fast = kind != 'cpu' or torch.backends.cpu.get_cpu_capability() == 'AVX512'
    return torch.autocast(kind, torch.bfloat16, enabled=fast)
