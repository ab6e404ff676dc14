"""Shapes: B images, R regions, N image tokens, T text tokens, S = N + T."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.diffusion.injection import DenseDiffusionInjector, MaskInjector
from mmseg_g4seg.diffusion.injection.joint_attention import JointAttention
from mmseg_g4seg.diffusion.injection.layouts import JointLayout
from tests.diffusion.injections import inject
from tests.diffusion.oracles import joint_bias

TOKENS, WORDS = 12, 5


def injection(rule=MaskInjector, noise_level=0.4, **weights):
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(2, 4, 6, 8, generator=generator).softmax(1)[:, :3]
    words = (torch.rand(2, 3, WORDS, generator=generator) > 0.6).float()
    return inject(masks, words, rule(**weights), noise_level=noise_level)


def attention(given, text_first):
    (rule,) = given.injectors
    return JointAttention(rule, JointLayout(given.layout, patch_size=2, text_first=text_first))


def sequence(length, dim=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 2, 2, length, dim, generator=generator).unbind(0)


def places(text_first):
    """Positions of image and text tokens."""
    if text_first:
        return list(range(WORDS, WORDS + TOKENS)), list(range(WORDS))
    return list(range(TOKENS)), list(range(TOKENS, TOKENS + WORDS))


@pytest.mark.parametrize('text_first', [False, True])
class TestJointLayout:
    def test_equals_explicit_bias(self, text_first):
        given = injection(cross_weight=1.5, self_weight=0.7)
        joint = attention(given, text_first)
        query, key, value = sequence(TOKENS + WORDS)
        bias = joint_bias(given, patch_size=2, text_first=text_first)(None, torch.zeros(0))
        expected = F.scaled_dot_product_attention(query, key, value, attn_mask=bias[:, None])
        torch.testing.assert_close(joint.attend(query, key, value, has_text=True), expected, atol=1e-5, rtol=1e-5)

    def test_text_queries_are_left_alone(self, text_first):
        joint = attention(injection(cross_weight=3.0, self_weight=3.0), text_first)
        query, key, value = sequence(TOKENS + WORDS)
        plain = F.scaled_dot_product_attention(query, key, value)
        image, text = places(text_first)
        biased = joint.attend(query, key, value, has_text=True)
        torch.testing.assert_close(biased[:, :, text], plain[:, :, text], atol=1e-5, rtol=1e-5)
        assert (biased[:, :, image] - plain[:, :, image]).abs().amax(dim=(1, 3)).gt(1e-3).any()

    @pytest.mark.parametrize('has_text', [True, False])
    def test_range_modulation_equals_loop(self, text_first, has_text):
        given = injection(DenseDiffusionInjector, noise_level=0.9, cross_weight=1.0, self_weight=0.6)
        joint = attention(given, text_first)
        query, key, value = sequence(TOKENS + WORDS if has_text else TOKENS)
        expected = modulated_by_loops(given, query, key, value, text_first if has_text else None)
        actual = joint.attend(query, key, value, has_text=has_text)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)

    def test_layers_that_are_left_alone(self, text_first):
        def off(cross, own, has_text):
            given = injection(cross_weight=cross, self_weight=own)
            return attention(given, text_first).is_off(has_text=has_text)

        assert off(0.0, 0.0, True)
        assert off(0.0, 0.0, False)
        assert off(1.0, 0.0, False)
        assert not off(1.0, 0.0, True)
        assert not off(0.0, 1.0, False)

    def test_sequence_that_does_not_fit(self, text_first):
        joint = attention(injection(), text_first)
        with pytest.raises(ValueError, match=r'2 images of 20 tokens; .* 12 image and 5 text tokens'):
            joint.attend(*sequence(20), has_text=True)


def modulated_by_loops(given, query, key, value, text_first):
    """DenseDiffusion's rule, one similarity at a time; without text where `text_first` is None."""
    layout, rule = given.layout, given.injectors[0]
    image, text = (list(range(TOKENS)), []) if text_first is None else places(text_first)
    cells = F.avg_pool2d(layout.region_masks, 2).flatten(2)  # (B, R, N)
    similarity = torch.einsum('bhqd,bhkd->bhqk', query, key) / query.shape[-1] ** 0.5
    moved = similarity.clone()
    for b in range(2):
        whole = torch.cat([cells[b], 1 - cells[b].sum(0, keepdim=True)])
        segment = whole.argmax(0).tolist()  # 3 is none
        for n, i in enumerate(image):
            share = segment.count(segment[n]) / TOKENS
            neighbours = [segment[m] == segment[n] for m in range(TOKENS)]
            words = [segment[n] < 3 and layout.token_masks[b, segment[n], t] == 1 for t in range(len(text))]
            for keys, weight, inside in ((image, rule.self_weight, neighbours), (text, rule.cross_weight, words)):
                strength = weight * layout.noise_level**5 * (1 - share)
                for h in range(2):
                    row = similarity[b, h, i, keys]
                    for j, own, same in zip(keys, row, inside, strict=True):
                        moved[b, h, i, j] = own + strength * ((row.max() if same else row.min()) - own)
    return moved.softmax(-1) @ value
