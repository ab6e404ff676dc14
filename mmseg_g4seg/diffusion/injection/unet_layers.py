"""Reaches the attention layers of diffusers' U-Nets with a layout.

Shapes: B images, R regions, h w latent grid, N tokens of a layer, Q query tokens, d head dimension.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .base import AttentionInjector
from .layouts import RegionLayout

PLAIN = (
    'AttnProcessor',
    'AttnProcessor2_0',
    'AttnProcessorNPU',
    'FusedAttnProcessor2_0',
    'SlicedAttnProcessor',
    'XFormersAttnProcessor',
    'XLAFlashAttnProcessor2_0',
)
"""Processors of diffusers that differ in how they compute softmax(QK^T)V, not in what."""
NEED_MORE = ('IPAdapter', 'PAG')
"""Beginnings of the names of processors that a pass must bring more for: an image's embedding, a batch in parts."""


class TokenGrids:
    """A layout on every token grid of a U-Net, built once for all layers.

    A layer is recognised by its number of tokens: level k of a U-Net has ceil(h / 2^k) *
    ceil(w / 2^k) of them.
    """

    def __init__(self, layout: RegionLayout) -> None:
        self.layout = layout
        self.token_regions = layout.token_masks.transpose(1, 2)  # (B, T, R)
        self._regions: dict[int, Tensor] = {}
        height, width = layout.region_masks.shape[-2:]
        while True:
            # 2 x 8 and 4 x 4 have as many tokens: the finer level was there first, and a U-Net has no two of one size
            self._regions.setdefault(height * width, self._resize(height, width))
            if height == width == 1:
                break
            height, width = math.ceil(height / 2), math.ceil(width / 2)

    def _resize(self, height: int, width: int) -> Tensor:
        """Averages the region masks to a grid: (B, height * width, R)."""
        masks = F.adaptive_avg_pool2d(self.layout.region_masks, (height, width))
        return masks.flatten(2).transpose(1, 2)  # (B, height * width, R)

    def regions(self, batch: int, tokens: int) -> Tensor:
        """Looks up the (B, tokens, R) coverage; ValueError where the layout does not fit the layer."""
        if tokens not in self._regions or batch != len(self.layout.region_masks):
            raise ValueError(
                f'a layer has {batch} images of {tokens} tokens; the injected layout has '
                f'{len(self.layout.region_masks)} images on grids of {sorted(self._regions)} tokens: '
                "expected region masks on the latents' own grid, one layout an image"
            )
        return self._regions[tokens]


class UNetInjectionProcessor:
    """A diffusers attention processor that attends under a layout.

    With a weight of 0 it calls the processor that it stands for, so the output is bit-identical. Attention that is
    sliced or fused is attended to whole under a weight.

    Raises:
        ValueError: if the processor that it stands for does more than plain attention.
    """

    def __init__(self, original: Any, injector: AttentionInjector, grids: TokenGrids) -> None:
        self.original, self.injector, self.grids = original, injector, grids
        check_processor(original)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Takes and gives what diffusers' `AttnProcessor2_0` does: (B, N, channels) both ways."""
        is_cross = encoder_hidden_states is not None
        if self.injector.is_off(is_cross=is_cross):
            # by name, and temb only if there is one: sliced attention takes none
            given = kwargs if temb is None else {'temb': temb, **kwargs}
            given = {'encoder_hidden_states': encoder_hidden_states, 'attention_mask': attention_mask, **given}
            return self.original(attn, hidden_states, **given)
        check_processor(self.original, replaced=True)
        if attention_mask is not None or hidden_states.ndim != 3:
            raise ValueError('mask injection expects (B, N, channels) hidden states and no attention mask')
        query, key, value = project(attn, hidden_states, encoder_hidden_states)
        regions = self.grids.regions(query.shape[0], query.shape[2])
        output = self.injector.attend(
            query,
            key,
            value,
            regions,
            self.grids.token_regions if is_cross else regions,
            is_cross=is_cross,
            noise_level=self.grids.layout.noise_level,
        )
        output = output.transpose(1, 2).flatten(2).to(query.dtype)  # (B, N, heads * d)
        output = attn.to_out[1](attn.to_out[0](output))
        if attn.residual_connection:
            output = output + hidden_states
        return output / attn.rescale_output_factor


def project(
    attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, *_args: Any, **_kwargs: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of a U-Net layer's call, whose other arguments do not matter: (B, heads, N, d) each."""
    context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    query = split_heads(attn.to_q(hidden_states), attn.heads, attn.norm_q)
    key = split_heads(attn.to_k(context), attn.heads, attn.norm_k)
    return query, key, split_heads(attn.to_v(context), attn.heads)


def check_processor(processor: Any, *, replaced: bool = False) -> None:
    """Raises ValueError, with its name, where a U-Net's attention processor does more than this package gives it.

    Args:
        processor: of one layer.
        replaced: whether attention under a layout takes its place. Otherwise it is refused only if a plain pass would
            fail in it, or it would take half of the batch for another thing.
    """
    while hasattr(processor, 'original'):  # another one of this package stands before it
        processor = processor.original
    name = type(processor).__name__
    if name.startswith(NEED_MORE) or (replaced and name not in PLAIN):
        raise ValueError(
            f'expected plain attention in the U-Net, found {name}, whose work would be left out; take it off first: '
            'pipeline.unload_ip_adapter(), or unet.set_attn_processor(AttnProcessor2_0())'
        )


def split_heads(tokens: Tensor, heads: int, norm: Any = None) -> Tensor:
    """(B, N, heads * d) -> (B, heads, N, d), normalised where the layer does so."""
    tokens = tokens.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, N, d)
    return tokens if norm is None else norm(tokens)


@contextmanager
def replaced_processors(model: Any, stand_in: Callable[[Any], Any]) -> Iterator[None]:
    """Puts another processor in the place of each of a model's, and puts all back whatever happens.

    Args:
        model: a diffusers model, whose attention layers have `processor` and `set_processor`.
        stand_in: given a processor, the one to use in its place.
    """
    # layer by layer: the model's own attn_processors and set_attn_processor look through all of it three times
    originals = [(layer, layer.processor) for layer in model.modules() if hasattr(layer, 'set_processor')]
    try:
        for layer, original in originals:
            layer.set_processor(stand_in(original))
        yield
    finally:
        for layer, original in originals:
            layer.set_processor(original)


@contextmanager
def unet_attention_replaced(unet: Any, injector: AttentionInjector, layout: RegionLayout) -> Iterator[None]:
    """Lets an injector attend in every attention layer of a U-Net, and of the U-Net only; undone whatever happens.

    Patching diffusers' `Attention` class, as DenseDiffusion's code does, would modulate the autoencoder, too.

    Args:
        unet: a diffusers model, see `replaced_processors`.
        injector: what attends.
        layout: on the device and in the dtype of the latents.
    """
    grids = TokenGrids(layout)
    with replaced_processors(unet, lambda original: UNetInjectionProcessor(original, injector, grids)):
        yield
