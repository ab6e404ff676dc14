"""Counts floating-point operations as they run, attention kernels of the CPU included."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def counted_flops() -> Iterator[FlopCounterMode]:
    """Counts the matrix products, convolutions and attentions of the block; read `get_total_flops()`.

    A multiplication with its addition counts as two. Element-wise work does not count.
    """
    with FlopCounterMode(display=False, custom_mapping=_attention_kernels()) as counter:
        yield counter


def _attention_kernels() -> dict[Any, Any]:
    """The attention kernel that torch's own counter leaves out, where this torch has it."""
    name = '_scaled_dot_product_flash_attention_for_cpu'
    return {getattr(torch.ops.aten, name): _attention} if hasattr(torch.ops.aten, name) else {}


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """FLOPs of one attention, from the shapes (B, heads, N, d) of its inputs: Q K^T, then the weights times V."""
    batch, heads, queries, head_dim = query
    return 2 * batch * heads * queries * key[2] * (head_dim + value[3])
