"""The precision that training computes in."""

from contextlib import AbstractContextManager

import torch


def mixed_precision(device: str) -> AbstractContextManager:
    """Computes a block in bfloat16 where the hardware multiplies it fast, else in float32.

    A CPU without AVX-512 emulates bfloat16, which is over a hundred times slower than float32.

    Args:
        device: what the block runs on, such as `cpu` or `cuda:0`.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=multiplies_bfloat16(kind))


def multiplies_bfloat16(kind: str) -> bool:
    """Whether a kind of device, `cpu` or another, has instructions that bfloat16 kernels use."""
    if kind == 'cpu':
        return torch.backends.cpu.get_cpu_capability() == 'AVX512'
    return kind != 'cuda' or torch.cuda.is_bf16_supported(including_emulation=False)
