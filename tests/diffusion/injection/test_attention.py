"""Shapes: B images, Q query tokens, Kt key tokens, R regions."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.diffusion.injection.attention import (
    MaskInjection,
    MaskInjectionProcessor,
    inject_masks,
    mask_biased_attention,
    range_modulated_attention,
    region_biased_attention,
)
from tests.conftest import build_random_parts


def explicit_attention(query, key, value, bias):
    """The oracle: softmax((Q K^T + alpha A) / sqrt(d)) V with the (Q, Kt) bias written out."""
    similarity = torch.einsum('bhqd,bhkd->bhqk', query, key) / math.sqrt(query.shape[-1]) + bias
    return torch.einsum('bhqk,bhkd->bhqd', similarity.softmax(-1), value)


def tokens(batch=2, heads=3, queries=12, keys=7, dim=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, heads, queries, dim, generator=g),
        torch.randn(batch, heads, keys, dim, generator=g),
        torch.randn(batch, heads, keys, dim, generator=g),
    )


class TestMaskBiasedAttention:
    @pytest.mark.parametrize('dim', [8, 10, 16, 40])
    @pytest.mark.parametrize('weight', [0.3, 1.0, 6.0])
    def test_equals_explicit_bias(self, dim, weight):
        query, key, value = tokens(dim=dim)
        query_mask, key_mask = (torch.rand(2, 12) > 0.5).float(), (torch.rand(2, 7) > 0.5).float()
        bias = weight * query_mask[:, None, :, None] * key_mask[:, None, None, :]
        expected = explicit_attention(query, key, value, bias)
        actual = mask_biased_attention(query, key, value, query_mask, key_mask, weight)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)

    def test_bias_moves_attention_to_the_masked_keys(self):
        query, key, value = tokens(keys=4, dim=4)
        value = torch.eye(4).expand(2, 3, 4, 4)
        plain = mask_biased_attention(query, key, value, torch.zeros(2, 12), torch.ones(2, 4), 2.0)
        key_mask = torch.tensor([1.0, 0, 0, 0]).expand(2, 4)
        biased = mask_biased_attention(query, key, value, torch.ones(2, 12), key_mask, 2.0)
        assert (biased[..., 0] > plain[..., 0]).all()

    def test_many_regions_equal_explicit_bias(self):
        query, key, value = tokens(queries=9, keys=9)
        regions = torch.rand(2, 9, 5)
        expected = explicit_attention(query, key, value, 0.7 * (regions @ regions.transpose(1, 2))[:, None])
        actual = region_biased_attention(query, key, value, regions, regions, 0.7)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
    def test_half_precision(self, dtype, tolerance):
        query, key, value = tokens()
        masks = torch.ones(2, 12), torch.tensor([1.0, 1, 0, 0, 0, 0, 1]).expand(2, 7)
        expected = mask_biased_attention(query, key, value, *masks, 1.0)
        actual = mask_biased_attention(*(t.to(dtype) for t in (query, key, value)), *masks, 1.0)
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.float(), expected, atol=tolerance, rtol=tolerance)

    def test_no_mask_is_materialised_and_heads_fit_kernels(self, monkeypatch):
        seen = []
        original = F.scaled_dot_product_attention

        def spy(query, key, value, attn_mask=None, **options):
            seen.append((query.shape[-1], key.shape[-1], value.shape[-1], attn_mask))
            return original(query, key, value, attn_mask=attn_mask, **options)

        monkeypatch.setattr(F, 'scaled_dot_product_attention', spy)
        query, key, value = tokens(dim=40)
        mask_biased_attention(query, key, value, torch.ones(2, 12), torch.ones(2, 7), 1.0)
        assert seen == [(48, 48, 48, None)]

    def test_gradient(self):
        query, key, value = (t.double().requires_grad_() for t in tokens(1, 1, 3, 2, 4))
        masks = torch.ones(1, 3, dtype=torch.double), torch.tensor([[1.0, 0.0]], dtype=torch.double)
        assert torch.autograd.gradcheck(
            lambda q, k, v: mask_biased_attention(q, k, v, *masks, 0.5), (query, key, value)
        )


def test_range_modulation_equals_loop():
    query, key, value = tokens(1, 2, 5, 4, 8)
    same = torch.rand(1, 5, 4) > 0.5
    strength = torch.rand(1, 5)
    similarity = torch.einsum('bhqd,bhkd->bhqk', query, key) / math.sqrt(8)
    expected = similarity.clone()
    for h in range(2):
        for i in range(5):
            row = similarity[0, h, i]
            for j in range(4):
                step = row.max() - row[j] if same[0, i, j] else -(row[j] - row.min())
                expected[0, h, i, j] = row[j] + strength[0, i] * step
    expected = expected.softmax(-1) @ value
    torch.testing.assert_close(range_modulated_attention(query, key, value, same, strength), expected)


class ExplicitProcessor:
    """An attention processor that writes the whole bias out, for comparison in a whole U-Net."""

    def __init__(self, injection, log):
        self.injection, self.log = injection, log

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        cross = encoder_hidden_states is not None
        context = encoder_hidden_states if cross else hidden_states
        side = math.isqrt(hidden_states.shape[1])
        regions = F.adaptive_avg_pool2d(self.injection.region_masks, (side, side)).flatten(2)  # (B, R, Q)
        keys = self.injection.token_masks if cross else regions
        weight = self.injection.cross_weight if cross else self.injection.self_weight
        bias = weight * torch.einsum('brq,brk->bqk', regions, keys)
        self.log.append((cross, hidden_states.shape[1]))
        split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # noqa: E731
        q, k, v = split(attn.to_q(hidden_states)), split(attn.to_k(context)), split(attn.to_v(context))
        return attn.to_out[0](explicit_attention(q, k, v, bias[:, None]).transpose(1, 2).flatten(2))


def injection_for(batch=2, regions=1, rule='g4seg', cross=1.0, self_=0.3):
    g = torch.Generator().manual_seed(3)
    token_masks = torch.zeros(batch, regions, 48)
    for r in range(regions):
        token_masks[:, r, 3 + 2 * r : 5 + 2 * r] = 1
    masks = torch.rand(batch, regions + 1, 8, 8, generator=g).softmax(1)[:, :regions]
    return MaskInjection(masks, token_masks, cross, self_, rule)


@pytest.fixture(scope='module')
def unet():
    return build_random_parts().unet


def run(unet, injection, batch=2):
    g = torch.Generator().manual_seed(5)
    latents, embeds = torch.randn(batch, 4, 8, 8, generator=g), torch.randn(batch, 48, 32, generator=g)
    with torch.no_grad(), inject_masks(unet, injection):
        return unet(latents, 400, embeds).sample


class TestInjection:
    @pytest.mark.parametrize('regions', [1, 3])
    def test_whole_unet_equals_explicit_masks_at_every_level(self, unet, regions):
        injection, log = injection_for(regions=regions), []
        originals = dict(unet.attn_processors)
        unet.set_attn_processor({name: ExplicitProcessor(injection, log) for name in originals})
        expected = run(unet, None)
        unet.set_attn_processor(dict(originals))
        assert set(log) == {(c, q) for c in (False, True) for q in (64, 16, 4)}
        torch.testing.assert_close(run(unet, injection), expected, atol=1e-5, rtol=0)

    def test_changes_the_output(self, unet):
        assert (run(unet, injection_for()) - run(unet, None)).abs().max() > 1e-4

    @pytest.mark.parametrize('rule', ['g4seg', 'dense_diffusion'])
    def test_zero_weights_are_bit_identical(self, unet, rule):
        assert torch.equal(run(unet, injection_for(cross=0.0, self_=0.0, rule=rule)), run(unet, None))

    def test_dense_diffusion_grows_with_noise_level(self, unet):
        plain = run(unet, None)
        shifts = []
        for level in (0.1, 0.4, 1.0):
            base = injection_for(rule='dense_diffusion')
            injection = MaskInjection(base.region_masks, base.token_masks, 1.0, 0.3, base.rule, level)
            shifts.append(float((run(unet, injection) - plain).abs().max()))
        assert shifts[0] < shifts[1] < shifts[2]

    def test_processors_come_back_after_an_exception(self, unet):
        before = dict(unet.attn_processors)
        seen = []

        def fail():
            with inject_masks(unet, injection_for()):
                seen.extend(unet.attn_processors.values())
                raise RuntimeError('inside')

        with pytest.raises(RuntimeError, match='inside'):
            fail()
        assert seen
        assert all(isinstance(p, MaskInjectionProcessor) for p in seen)
        assert unet.attn_processors == before

    def test_layout_of_another_size_is_refused_and_undone(self, unet):
        before = dict(unet.attn_processors)
        injection = MaskInjection(torch.rand(2, 1, 5, 5), torch.zeros(2, 1, 48))
        with pytest.raises(ValueError, match='64 tokens'):
            run(unet, injection)
        assert unet.attn_processors == before

    def test_odd_grids(self, unet):
        g = torch.Generator().manual_seed(0)
        injection = MaskInjection(torch.rand(1, 1, 12, 20, generator=g), torch.zeros(1, 1, 48))
        with torch.no_grad(), inject_masks(unet, injection):
            output = unet(torch.randn(1, 4, 12, 20, generator=g), 400, torch.randn(1, 48, 32, generator=g)).sample
        assert output.shape == (1, 4, 12, 20)

    def test_autoencoder_is_left_alone(self, parts):
        before = dict(parts.vae.attn_processors)
        assert before, 'this autoencoder has attention'
        with inject_masks(parts.unet, injection_for()):
            assert parts.vae.attn_processors == before


@pytest.mark.parametrize(
    ('masks', 'token_masks', 'rule', 'message'),
    [
        (torch.zeros(1, 8, 8), torch.zeros(1, 1, 48), 'g4seg', r'region_masks \(B, R, h, w\)'),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 48), 'g4seg', 'differ in images or regions'),
        (torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 48), 'other', "got 'other'"),
    ],
)
def test_malformed_injection(masks, token_masks, rule, message):
    with pytest.raises(ValueError, match=message):
        MaskInjection(masks, token_masks, rule=rule)
