"""Mask injection: biases a denoiser's attention towards a layout (G4Seg, arXiv 2506.01539, Eq. 3-5).

Here is what all families share, and the U-Nets' processor; joint attention of image and text has
its own in `diffusion/joint_attention.py`.

Shapes: B images, R regions (one for a single class, K for all classes of an image), h w latent
grid, Q query tokens, Kt key tokens (Q for self-attention, T text tokens for cross-attention),
d head dimension.

The bias of region r on query i and key j is `weight * a[i, r] * b[j, r]`. A sum of R such products
is a matrix product, so R more channels on query and key give the biased similarity exactly and no
(Q, Kt) bias is ever built.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

InjectionRule = Literal['g4seg', 'dense_diffusion']

KERNEL_MULTIPLE = 8
"""Fused attention kernels take head dimensions that are multiples of this."""


@dataclass(frozen=True)
class MaskInjection:
    """One layout to inject in one pass of the denoiser.

    Attributes:
        region_masks: (B, R, h, w) float in [0, 1], the share of each latent cell that belongs to
            each region.
        token_masks: (B, R, T) float in {0, 1}, 1 where a text token names the region.
        cross_weight: bias that reaches the softmax of cross-attention (alpha / sqrt(d)).
        self_weight: the same for self-attention.
        rule: `g4seg` adds the weight, `dense_diffusion` modulates by the range of similarities.
        noise_level: timestep / number of training timesteps, in [0, 1]; read by `dense_diffusion`.
        control_image: (B, 3, H, W) float RGB in [0, 1], the layout painted at the prior's image size; a
            ControlNet's input, which attention does not read. None where the prior has none.
        control_scale: factor on what the ControlNet adds.
    """

    region_masks: Tensor
    token_masks: Tensor
    cross_weight: float = 1.0
    self_weight: float = 0.3
    rule: InjectionRule = 'g4seg'
    noise_level: float = 0.4
    control_image: Tensor | None = None
    control_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.region_masks.ndim != 4 or self.token_masks.ndim != 3:
            raise ValueError(
                'expected region_masks (B, R, h, w) and token_masks (B, R, T), '
                f'got {tuple(self.region_masks.shape)} and {tuple(self.token_masks.shape)}'
            )
        if self.region_masks.shape[:2] != self.token_masks.shape[:2]:
            raise ValueError(
                'region_masks and token_masks differ in images or regions: '
                f'{tuple(self.region_masks.shape[:2])} and {tuple(self.token_masks.shape[:2])}'
            )
        control = self.control_image
        if control is not None and (control.ndim != 4 or control.shape[:2] != (len(self.region_masks), 3)):
            raise ValueError(
                f'control_image: expected ({len(self.region_masks)}, 3, H, W), one an image, got {tuple(control.shape)}'
            )
        if self.rule not in get_args(InjectionRule):
            raise ValueError(f'rule: expected one of {get_args(InjectionRule)}, got {self.rule!r}')

    def to(self, like: Tensor) -> 'MaskInjection':
        """Moves masks and control image to the device and dtype of `like`."""
        control = None if self.control_image is None else self.control_image.to(like)
        return replace(
            self, region_masks=self.region_masks.to(like), token_masks=self.token_masks.to(like), control_image=control
        )

    def take(self, images: Sequence[int], tokens: int) -> 'MaskInjection':
        """The layouts of some images, on the first `tokens` text tokens."""
        index = list(images)
        return replace(
            self,
            region_masks=self.region_masks[index],
            token_masks=self.token_masks[index, :, :tokens],
            control_image=None if self.control_image is None else self.control_image[index],
        )


def mask_biased_attention(
    query: Tensor, key: Tensor, value: Tensor, query_mask: Tensor, key_mask: Tensor, weight: float
) -> Tensor:
    """Attention under one rank-one bias: softmax(QK^T/sqrt(d) + weight * query_mask (x) key_mask) V.

    Args:
        query: (B, heads, Q, d) float.
        key: (B, heads, Kt, d) float.
        value: (B, heads, Kt, d) float.
        query_mask: (B, Q) float in [0, 1].
        key_mask: (B, Kt) float in [0, 1].
        weight: bias that reaches the softmax where both masks are 1.

    Returns:
        (B, heads, Q, d), dtype of `query`.

    Source:
        G4Seg, Eq. 3-5.
    """
    return region_biased_attention(query, key, value, query_mask[..., None], key_mask[..., None], weight)


def region_biased_attention(
    query: Tensor, key: Tensor, value: Tensor, query_regions: Tensor, key_regions: Tensor, weight: float
) -> Tensor:
    """Attention under a bias of rank R: softmax(QK^T/sqrt(d) + weight * query_regions key_regions^T) V.

    Args:
        query: (B, heads, Q, d) float.
        key: (B, heads, Kt, d) float.
        value: (B, heads, Kt, d) float.
        query_regions: (B, Q, R) float in [0, 1].
        key_regions: (B, Kt, R) float in [0, 1].
        weight: bias that reaches the softmax where a query and a key share a region.

    Returns:
        (B, heads, Q, d), dtype of `query`.
    """
    head_dim = query.shape[-1]
    query_channels = (query_regions * (weight * math.sqrt(head_dim))).to(query)
    padding = -(head_dim + query_regions.shape[-1]) % KERNEL_MULTIPLE
    output = F.scaled_dot_product_attention(
        _append_channels(query, F.pad(query_channels, (0, padding))),
        _append_channels(key, F.pad(key_regions.to(key), (0, padding))),
        F.pad(value, (0, query_regions.shape[-1] + padding)),
        scale=head_dim**-0.5,
    )
    return output[..., :head_dim]


def _append_channels(tokens: Tensor, channels: Tensor) -> Tensor:
    """(B, heads, N, d) and (B, N, P) -> (B, heads, N, d + P), in one copy."""
    return torch.cat([tokens, channels[:, None].expand(-1, tokens.shape[1], -1, -1)], dim=-1)


def range_modulated_attention(
    query: Tensor, key: Tensor, value: Tensor, same_region: Tensor, strength: Tensor
) -> Tensor:
    """Attention whose similarities move towards their own extremes, as DenseDiffusion does.

    Where `same_region` holds a similarity rises by strength * (max - sim), elsewhere it falls by
    strength * (sim - min); max and min are taken over the keys of each query.

    Args:
        query: (B, heads, Q, d) float.
        key: (B, heads, Kt, d) float.
        value: (B, heads, Kt, d) float.
        same_region: (B, Q, Kt) bool.
        strength: (B, Q) float, the share of the range to move by.

    Returns:
        (B, heads, Q, d), dtype of `query`.

    Source:
        DenseDiffusion (arXiv 2308.12964), Eq. 4-6. The bias is not of low rank: (Q, Kt) is built.
    """
    similarity = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5  # (B, heads, Q, Kt)
    return modulate_range(similarity, same_region, strength).softmax(-1) @ value


def modulate_range(similarity: Tensor, same_region: Tensor, strength: Tensor) -> Tensor:
    """Moves (B, heads, Q, Kt) similarities towards their extremes; the rest as `range_modulated_attention`."""
    lowest, highest = similarity.amin(-1, keepdim=True), similarity.amax(-1, keepdim=True)
    shift = torch.where(same_region[:, None], highest - similarity, lowest - similarity)
    return similarity + strength[:, None, :, None].to(similarity) * shift


class TokenGrids:
    """The layout of an injection on every token grid of a U-Net, built once for all layers.

    A layer is recognised by its number of tokens: level k of a U-Net has ceil(h / 2^k) *
    ceil(w / 2^k) of them.
    """

    def __init__(self, injection: MaskInjection) -> None:
        self.injection = injection
        self._regions: dict[int, Tensor] = {}
        height, width = injection.region_masks.shape[-2:]
        while True:
            self._regions.setdefault(height * width, self._resize(height, width))
            if height == width == 1:
                break
            height, width = math.ceil(height / 2), math.ceil(width / 2)

    def _resize(self, height: int, width: int) -> Tensor:
        """Averages the region masks to a grid: (B, height * width, R)."""
        masks = F.adaptive_avg_pool2d(self.injection.region_masks, (height, width))
        return masks.flatten(2).transpose(1, 2)

    def regions(self, batch: int, tokens: int) -> Tensor:
        """Looks up the (B, tokens, R) coverage; ValueError where the layout does not fit the layer."""
        if tokens not in self._regions or batch != len(self.injection.region_masks):
            raise ValueError(
                f'a layer has {batch} images of {tokens} tokens; the injected layout has '
                f'{len(self.injection.region_masks)} images on grids of {sorted(self._regions)} tokens: '
                "expected region masks on the latents' own grid, one layout an image"
            )
        return self._regions[tokens]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, *, is_cross: bool) -> Tensor:
        """Attends under the injection's rule: (B, heads, Q, d) three times -> (B, heads, Q, d)."""
        injection = self.injection
        query_regions = self.regions(query.shape[0], query.shape[2])
        key_regions = injection.token_masks.transpose(1, 2) if is_cross else query_regions  # (B, Kt, R)
        weight = injection.cross_weight if is_cross else injection.self_weight
        if injection.rule == 'g4seg':
            return region_biased_attention(query, key, value, query_regions, key_regions, weight)
        segments = hard_segments(query_regions)
        key_segments = F.pad(key_regions, (0, 1)) if is_cross else segments
        strength = modulation_strength(segments, weight, injection.noise_level)
        return range_modulated_attention(query, key, value, segments @ key_segments.transpose(1, 2) > 0, strength)


def modulation_strength(segments: Tensor, weight: float, noise_level: float) -> Tensor:
    """DenseDiffusion's share of the range, less for large segments: one-hot (B, Q, R + 1) -> (B, Q)."""
    own_area = (segments * segments.mean(1, keepdim=True)).sum(-1)
    return weight * noise_level**5 * (1 - own_area)


def hard_segments(regions: Tensor) -> Tensor:
    """Assigns every token to its main region or to none: (B, N, R) -> one-hot (B, N, R + 1)."""
    nothing = 1 - regions.sum(-1, keepdim=True)
    winner = torch.cat([regions, nothing], dim=-1).argmax(-1)
    return F.one_hot(winner, regions.shape[-1] + 1).to(regions)


class MaskInjectionProcessor:
    """A diffusers attention processor that attends under a layout.

    With a weight of 0 it calls the processor that it stands for, so the output is bit-identical.
    """

    def __init__(self, original: Any, grids: TokenGrids) -> None:
        self.original = original
        self.grids = grids

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
        injection = self.grids.injection
        if (injection.cross_weight if is_cross else injection.self_weight) == 0:
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask, temb, **kwargs)
        if attention_mask is not None or hidden_states.ndim != 3:
            raise ValueError('mask injection expects (B, N, channels) hidden states and no attention mask')
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = split_heads(attn.to_q(hidden_states), attn.heads, attn.norm_q)
        key = split_heads(attn.to_k(context), attn.heads, attn.norm_k)
        value = split_heads(attn.to_v(context), attn.heads)
        output = self.grids.attend(query, key, value, is_cross=is_cross)
        output = output.transpose(1, 2).flatten(2).to(query.dtype)  # (B, N, heads * d)
        output = attn.to_out[1](attn.to_out[0](output))
        if attn.residual_connection:
            output = output + hidden_states
        return output / attn.rescale_output_factor


def split_heads(tokens: Tensor, heads: int, norm: Any = None) -> Tensor:
    """(B, N, heads * d) -> (B, heads, N, d), normalised where the layer does so."""
    tokens = tokens.unflatten(-1, (heads, -1)).transpose(1, 2)
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
def inject_masks(unet: Any, injection: MaskInjection | None) -> Iterator[None]:
    """Installs an injection in every attention layer of a U-Net, and removes it whatever happens.

    Args:
        unet: a diffusers model, see `replaced_processors`.
        injection: the layout, on the device and in the dtype of the latents; None leaves the
            model alone.
    """
    if injection is None:
        yield
        return
    grids = TokenGrids(injection)
    with replaced_processors(unet, lambda original: MaskInjectionProcessor(original, grids)):
        yield
