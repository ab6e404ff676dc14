"""Shapes: B images, Q query tokens, Kt key tokens, R regions."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.diffusion.injection.attention import mask_biased_attention, region_biased_attention
from tests.diffusion.oracles import explicit_attention, random_tokens


class TestMaskBiasedAttention:
    @pytest.mark.parametrize('dim', [8, 10, 16, 40])
    @pytest.mark.parametrize('weight', [0.3, 1.0, 6.0])
    def test_equals_explicit_bias(self, dim, weight):
        query, key, value = random_tokens(dim=dim)
        query_mask, key_mask = (torch.rand(2, 12) > 0.5).float(), (torch.rand(2, 7) > 0.5).float()
        bias = weight * query_mask[:, None, :, None] * key_mask[:, None, None, :]
        expected = explicit_attention(query, key, value, bias)
        actual = mask_biased_attention(query, key, value, query_mask, key_mask, weight)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)

    def test_bias_moves_attention_to_the_masked_keys(self):
        query, key, value = random_tokens(keys=4, dim=4)
        value = torch.eye(4).expand(2, 3, 4, 4)
        plain = mask_biased_attention(query, key, value, torch.zeros(2, 12), torch.ones(2, 4), 2.0)
        key_mask = torch.tensor([1.0, 0, 0, 0]).expand(2, 4)
        biased = mask_biased_attention(query, key, value, torch.ones(2, 12), key_mask, 2.0)
        assert (biased[..., 0] > plain[..., 0]).all()

    def test_many_regions_equal_explicit_bias(self):
        query, key, value = random_tokens(queries=9, keys=9)
        regions = torch.rand(2, 9, 5)
        expected = explicit_attention(query, key, value, 0.7 * (regions @ regions.transpose(1, 2))[:, None])
        actual = region_biased_attention(query, key, value, regions, regions, 0.7)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.bfloat16, 3e-2), (torch.float16, 4e-3)])
    def test_half_precision(self, dtype, tolerance):
        query, key, value = random_tokens()
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
        query, key, value = random_tokens(dim=40)
        mask_biased_attention(query, key, value, torch.ones(2, 12), torch.ones(2, 7), 1.0)
        assert seen == [(48, 48, 48, None)]

    def test_gradient(self):
        query, key, value = (t.double().requires_grad_() for t in random_tokens(1, 1, 3, 2, 4))
        masks = torch.ones(1, 3, dtype=torch.double), torch.tensor([[1.0, 0.0]], dtype=torch.double)
        assert torch.autograd.gradcheck(
            lambda q, k, v: mask_biased_attention(q, k, v, *masks, 0.5), (query, key, value)
        )
