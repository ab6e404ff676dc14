"""Independent ways to compute what the package computes: explicit biases inside diffusers' own processors.

Shapes: B images, R regions, Q query tokens, Kt key tokens, N image tokens, T text tokens, d head dimension.
"""

import math
from contextlib import contextmanager

import torch
import torch.nn.functional as F


def explicit_attention(query, key, value, bias):
    """softmax((Q K^T + alpha A) / sqrt(d)) V with the (Q, Kt) bias written out."""
    similarity = torch.einsum('bhqd,bhkd->bhqk', query, key) / math.sqrt(query.shape[-1]) + bias
    return torch.einsum('bhqk,bhkd->bhqd', similarity.softmax(-1), value)


def random_tokens(batch=2, heads=3, queries=12, keys=7, dim=16, seed=0):
    """Queries (B, heads, Q, d), keys and values (B, heads, Kt, d)."""
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, heads, queries, dim, generator=g),
        torch.randn(batch, heads, keys, dim, generator=g),
        torch.randn(batch, heads, keys, dim, generator=g),
    )


class MaskedProcessor:
    """Calls diffusers' own processor while its attention gets an explicit additive mask."""

    def __init__(self, original, bias_for, log):
        self.original, self.bias_for, self.log = original, bias_for, log

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, *args, **kwargs):
        attend = F.scaled_dot_product_attention

        def masked(query, key, value, attn_mask=None, **options):
            assert attn_mask is None
            bias = self.bias_for(hidden_states, encoder_hidden_states)
            self.log.append((query.shape[2], key.shape[2], encoder_hidden_states is not None))
            return attend(query, key, value, attn_mask=bias[:, None].to(query), **options)

        F.scaled_dot_product_attention = masked
        try:
            return self.original(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        finally:
            F.scaled_dot_product_attention = attend


@contextmanager
def explicit_masks(model, bias_for):
    """Installs the oracle in every attention layer; yields the list of layers that ran under it."""
    originals, log = dict(model.attn_processors), []
    model.set_attn_processor({name: MaskedProcessor(p, bias_for, log) for name, p in originals.items()})
    try:
        yield log
    finally:
        model.set_attn_processor(originals)


def shares(region_masks, rows, columns):
    """Averages masks over the cells of a token grid, one cell at a time: (B, R, N)."""
    height, width = region_masks.shape[-2] // rows, region_masks.shape[-1] // columns
    cells = [
        region_masks[..., y * height : (y + 1) * height, x * width : (x + 1) * width].mean(dim=(-2, -1))
        for y in range(rows)
        for x in range(columns)
    ]
    return torch.stack(cells, dim=-1)


def outer(queries, keys):
    """Sum over regions of outer products: (B, R, Q) and (B, R, K) -> (B, Q, K)."""
    return sum(queries[:, r, :, None] * keys[:, r, None, :] for r in range(queries.shape[1]))


def unet_bias(injection):
    """The bias that a `MaskInjector` gives a cross- or self-attention layer of a U-Net on square grids."""
    layout, rule = injection.layout, injection.injectors[0]

    def bias_for(hidden_states, encoder_hidden_states):
        side = round(hidden_states.shape[1] ** 0.5)
        image = shares(layout.region_masks, side, side)
        if encoder_hidden_states is None:
            return rule.self_weight * outer(image, image)
        return rule.cross_weight * outer(image, layout.token_masks)

    return bias_for


def joint_bias(injection, *, patch_size, text_first, single=False):
    """The bias of a layer over a joint sequence; `single`: layers without text hold both, else image tokens."""
    layout, rule = injection.layout, injection.injectors[0]
    rows, columns = (side // patch_size for side in layout.region_masks.shape[-2:])
    image = shares(layout.region_masks, rows, columns)
    tokens, words = image.shape[-1], layout.token_masks.shape[-1]
    own = rule.self_weight * outer(image, image)
    whole = torch.zeros(len(own), words + tokens, words + tokens)
    pictures = slice(words, None) if text_first else slice(0, tokens)
    texts = slice(0, words) if text_first else slice(tokens, None)
    whole[:, pictures, pictures] = own
    whole[:, pictures, texts] = rule.cross_weight * outer(image, layout.token_masks)

    def bias_for(hidden_states, encoder_hidden_states):
        return whole if encoder_hidden_states is not None or single else own

    return bias_for
