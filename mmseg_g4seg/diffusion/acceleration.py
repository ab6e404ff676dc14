"""What makes frozen networks faster without changing what they compute."""

from typing import Any

import torch

COMPILED_BLOCKS = ('ResnetBlock2D', 'FeedForward')
"""Blocks of diffusers that gain from being fused. Attention does not: its kernels are fused already, and masks
are injected by exchanging its processors, after which whole networks would be compiled anew."""


def use_channels_last(network: Any) -> None:
    """Lays out the weights of convolutions channels last, in place, as their fastest kernels read them."""
    network.to(memory_format=torch.channels_last)


def compile_blocks(network: Any) -> int:
    """Compiles the residual and feed-forward blocks of a network, in place; each when it first runs.

    Args:
        network: of diffusers.

    Returns:
        How many blocks there are.
    """
    blocks = [module for module in network.modules() if type(module).__name__ in COMPILED_BLOCKS]
    # blocks of a class share their code, and by default PyTorch gives up after eight shapes of it
    settings = torch._dynamo.config
    limit = 'recompile_limit' if hasattr(settings, 'recompile_limit') else 'cache_size_limit'  # before PyTorch 2.7
    setattr(settings, limit, max(getattr(settings, limit), 8 * len(blocks)))
    for block in blocks:
        block.compile(dynamic=False)
    return len(blocks)
