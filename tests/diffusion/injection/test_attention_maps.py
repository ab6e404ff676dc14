"""Shapes: B images, h w latent grid, N image tokens, T text tokens, S = N + T."""

import pytest
import torch

from mmseg_g4seg.diffusion.injection import attention_maps
from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps, coarsen_attention, recorded_attention
from tests.coarse.priors import FAMILIES, build
from tests.oracle_files import load_oracle

NAMES = [['sky'], ['hot air balloon']]


@pytest.fixture(scope='module', params=FAMILIES)
def prior(request):
    return build(request.param)


def noisy_latents(prior, height=8, width=12, seed=0):
    channels = prior.vae.config.latent_channels
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(seed))


def everything(prior, grid, **options):
    layers = prior.attention_layers
    return AttentionMaps(
        grid,
        cross_layers=[layer for layer in layers if layer.reads_text],
        self_layers=[layer for layer in layers if layer.reads_image],
        **options,
    )


def by_hand(prior, noisy, timestep, prompts):
    """What every attention layer gives its kernel, caught at the kernel, and softmaxed in float64: layer by layer."""
    found = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def catch(query, key, value, *args, **kwargs):
        found.append((query.double() @ key.double().mT * query.shape[-1] ** -0.5).softmax(-1))
        return plain(query, key, value, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, 'scaled_dot_product_attention', catch)
        prior.denoise(noisy, timestep, prompts)
    return found


def in_parts(layer, probs, tokens):
    """Image queries over text keys, and over image keys: (B, heads, N, T), (B, heads, N, N)."""
    if layer.kind != 'joint':
        return (probs, None) if layer.kind == 'cross' else (None, probs)
    words = probs.shape[-1] - tokens
    places = list(range(words, probs.shape[-1])) if layer.text_first else list(range(tokens))
    others = [i for i in range(probs.shape[-1]) if i not in places]
    return probs[:, :, places][..., others], probs[:, :, places][..., places]


def test_equals_the_softmax_at_the_kernel(prior, monkeypatch):
    """Two steps, latents that are not square, stripes that do not divide the tokens."""
    monkeypatch.setattr(attention_maps, 'CELLS_AT_ONCE', 8000)
    noisy, prompts = noisy_latents(prior), prior.encode_prompts(NAMES, 'a photo of {name}')
    maps = everything(prior, (8, 12))
    with recorded_attention(maps):
        for timestep in (100, 400):
            prior.denoise(noisy, timestep, prompts)
    calls = [by_hand(prior, noisy, timestep, prompts) for timestep in (100, 400)]
    layers = prior.attention_layers
    assert [len(found) for found in calls] == [len(layers)] * 2
    cross, own = {}, {}
    for i, layer in enumerate(layers):
        height, width = 8 // layer.level, 12 // layer.level
        text, image = in_parts(layer, (calls[0][i] + calls[1][i]) / 2, height * width)
        if text is not None:
            cross.setdefault(layer.level, []).append(text.mean(1).mT.unflatten(-1, (height, width)))
        if image is not None:
            own.setdefault(layer.level, []).append(image.mean(1))
    for b in range(2):
        for level, expected in cross.items():
            actual = maps.cross(level, b).double()
            torch.testing.assert_close(actual, torch.stack(expected)[:, b], atol=1e-6, rtol=0)
        for level, expected in own.items():
            actual = maps.self_attention(level, b).double()
            torch.testing.assert_close(actual, torch.stack(expected)[:, b].mean(0), atol=1e-6, rtol=0)


def test_recording_changes_no_bit_and_is_undone(prior):
    noisy, prompts = noisy_latents(prior), prior.encode_prompts(NAMES, 'a photo of {name}')
    plain = prior.denoise(noisy, 400, prompts)
    processors = [layer.module.processor for layer in prior.attention_layers]
    with recorded_attention(everything(prior, (8, 12))):
        assert torch.equal(prior.denoise(noisy, 400, prompts), plain)
    with pytest.raises(RuntimeError, match='stop'), recorded_attention(everything(prior, (8, 12))):
        raise RuntimeError('stop')
    assert all(a.module.processor is b for a, b in zip(prior.attention_layers, processors, strict=True))


def test_heads_apart_average_to_heads_together(prior):
    noisy, prompts = noisy_latents(prior), prior.encode_prompts(NAMES, 'a photo of {name}')
    together, apart = everything(prior, (8, 12)), everything(prior, (8, 12), keep_heads=True)
    with recorded_attention(together), recorded_attention(apart):
        prior.denoise(noisy, 400, prompts)
    level = min(layer.level for layer in together.cross_layers)
    layers = [layer for layer in together.cross_layers if layer.level == level]
    heads = apart.cross(level, 1).split([layer.module.heads for layer in layers])
    torch.testing.assert_close(torch.stack([own.mean(0) for own in heads]), together.cross(level, 1))
    assert not torch.allclose(heads[0][0], heads[0][-1]) or len(heads[0]) == 1


def test_embedded_prior_reads_text_where_others_read_the_image():
    """Its finest level has `attn1` that attends to text: told by the layer, not by its name."""
    layers = build('tiny').attention_layers
    kinds = {level: {layer.kind for layer in layers if layer.level == level} for level in (1, 2, 4)}
    assert kinds == {1: {'cross'}, 2: {'cross', 'self'}, 4: {'cross', 'self'}}
    assert [layer.part for layer in layers if layer.kind == 'self'] == ['down', 'down', 'middle', *['up'] * 4]


def test_sdxl_has_no_attention_at_its_finest_level():
    assert {layer.level for layer in build('sdxl').attention_layers} == {2}


def test_sd35_has_layers_of_the_image_alone():
    layers = build('sd3').attention_layers
    assert [layer.kind for layer in layers] == ['joint', 'self', 'joint', 'joint']
    assert [layer.block for layer in layers] == [0, 0, 1, 2]


def test_other_levels_of_a_transformer_are_averages():
    prior = build('sd3')
    maps = everything(prior, (8, 12))
    with recorded_attention(maps):
        prior.denoise(noisy_latents(prior), 400, prior.encode_prompts(NAMES, 'a photo of {name}'))
    fine = maps.cross(2, 1)  # (M, T, 4, 6)
    blocks = torch.stack([fine[..., y::2, x::2] for y in (0, 1) for x in (0, 1)])
    torch.testing.assert_close(maps.cross(4, 1), blocks.mean(0))
    torch.testing.assert_close(maps.self_attention(4, 1), coarsened_by_loops(maps.self_attention(2, 1), 4, 6, 2))


def coarsened_by_loops(attention, height, width, factor):
    rows, columns = -(-height // factor), -(-width // factor)
    block = [(y // factor) * columns + x // factor for y in range(height) for x in range(width)]
    result = torch.zeros(rows * columns, rows * columns)
    for i, row in enumerate(block):
        for j, column in enumerate(block):
            result[row, column] += attention[i, j] / block.count(row)
    return result


@pytest.mark.parametrize(('height', 'width', 'factor'), [(4, 6, 2), (5, 7, 2), (3, 4, 3), (2, 3, 4)])
def test_coarser_attention_by_loops(height, width, factor):
    attention = torch.rand(height * width, height * width, generator=torch.Generator().manual_seed(0)).softmax(-1)
    coarse = coarsen_attention(attention, (height, width), factor)
    torch.testing.assert_close(coarse, coarsened_by_loops(attention, height, width, factor))
    torch.testing.assert_close(coarse.sum(-1), torch.ones(len(coarse)))


class TestExceptions:
    def test_a_grid_that_the_layers_do_not_have(self, prior):
        with (
            pytest.raises(ValueError, match=r'latent grid \(24, 24\)'),
            recorded_attention(everything(prior, (24, 24))),
        ):
            prior.denoise(noisy_latents(prior), 400, prior.encode_prompts(NAMES, 'a photo of {name}'))

    def test_a_level_that_was_not_recorded(self):
        layers = build('tiny').attention_layers
        maps = AttentionMaps((8, 12), cross_layers=[layer for layer in layers if layer.level == 4 and layer.reads_text])
        with pytest.raises(ValueError, match=r'level: expected one of \[4\] .* got 2'):
            maps.cross(2)
        with pytest.raises(ValueError, match=r'level: .* got 4'):
            maps.self_attention(4)

    def test_nothing_recorded_yet(self, prior):
        with pytest.raises(RuntimeError, match='no pass was recorded'):
            everything(prior, (8, 12)).cross(2)

    def test_another_number_of_images(self, prior):
        noisy, prompts = noisy_latents(prior), prior.encode_prompts(NAMES, 'a photo of {name}')
        maps = everything(prior, (8, 12))
        with recorded_attention(maps):
            prior.denoise(noisy, 400, prompts)
        with pytest.raises(ValueError, match='as in earlier passes'), recorded_attention(maps):
            prior.denoise(noisy[:1], 400, prompts[:1])

    def test_a_layer_of_another_kind(self):
        layers = build('tiny').attention_layers
        with pytest.raises(ValueError, match="got 'cross'"):
            AttentionMaps((8, 8), self_layers=[layer for layer in layers if layer.kind == 'cross'])


def stand_in(kind, level=1, part='up'):
    """A layer whose queries and keys a test makes."""
    return AttentionLayer(torch.nn.Identity(), kind, part, 0, level, lambda *_: ())


@pytest.mark.parametrize('name', ['seediff_sd14', 'seediff_two_tokens', 'seediff_tiny'])
def test_equals_the_authors_sums(name):
    """Their queries, keys and softmax outputs come in as a denoiser's do, a step and a layer at a time."""
    arrays, meta = load_oracle(name)
    fine, coarse = meta['levels'][-1], meta['levels'][0]
    cross = [stand_in('cross', fine // coarse) for _ in meta['cross_places']]
    own = {n: stand_in('self', fine // n) for n in meta['levels']}
    maps = AttentionMaps((fine, fine), cross_layers=cross, self_layers=list(own.values()))
    for step, layers in enumerate(arrays['in_cross']):
        for layer, probs in zip(cross, layers, strict=True):
            maps.add(layer, *as_query_and_key(probs))
        for n, layer in own.items():
            first = meta['self_places'][str(n)].index('up')
            maps.add(layer, *(arrays[f'in_self{n}_{part}'][step, first][None] for part in ('query', 'key')))
    heads = arrays['in_cross'].shape[2]
    expected = arrays['in_cross'].mean(0).sum(1).mT.unflatten(-1, (coarse, coarse))
    # as_query_and_key halves what comes in
    torch.testing.assert_close(maps.cross(fine // coarse)[:, :-1] * 2 * heads, expected, atol=1e-6, rtol=1e-5)
    for n in meta['levels']:
        rows = maps.self_attention(fine // n)
        torch.testing.assert_close(rows.sum(-1), torch.ones(n * n), atol=1e-5, rtol=0)
    seeds, attention = arrays['out_seeds_a'].flatten(), maps.self_attention(fine // coarse)
    unit = attention / attention.norm(dim=-1, keepdim=True)
    total = (unit @ unit[seeds].sum(0)).view(coarse, coarse)
    torch.testing.assert_close(total, arrays['out_sum_a'], rtol=1e-5, atol=0)


def as_query_and_key(probs):
    """Query and key whose softmax is half of (heads, N, T) probabilities, and the rest on one more token.

    Half, since rounding to 16 bits makes some sums a little more than 1.
    """
    whole = torch.cat([probs / 2, 1 - probs.sum(-1, keepdim=True) / 2], dim=-1)  # (heads, N, T + 1)
    size = whole.shape[-1]
    return whole.log()[None], (torch.eye(size) * size**0.5).expand(1, len(probs), -1, -1)
