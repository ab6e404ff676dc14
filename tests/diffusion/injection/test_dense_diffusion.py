"""Shapes: B images, R regions, Q query tokens, Kt key tokens, N tokens."""

import math

import pytest
import torch

from mmseg_g4seg.diffusion.injection.dense_diffusion import (
    DenseDiffusionInjector,
    hard_segments,
    modulation_strength,
    range_modulated_attention,
)
from mmseg_g4seg.diffusion.injection.layouts import JointLayout, RegionLayout
from tests.diffusion.oracles import random_tokens


def test_range_modulation_equals_loop():
    query, key, value = random_tokens(1, 2, 5, 4, 8)
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


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_takes_large_similarities(dtype):
    """Beyond what float16 holds, as SD 2.1's are (`upcast_attention`); and finer than bfloat16 tells apart."""
    query, key, value = (tokens.to(dtype) for tokens in random_tokens(1, 2, 5, 4, 8))
    query, key = 300 * query, 300 * key
    same, strength = torch.rand(1, 5, 4) > 0.5, torch.rand(1, 5) / 100
    expected = range_modulated_attention(*(tokens.double() for tokens in (query, key, value)), same, strength)
    assert (query.double() @ key.double().mT).abs().max() > 65504
    found = range_modulated_attention(query, key, value, same, strength)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize('has_text', [True, False])
def test_half_precision_in_a_joint_sequence(has_text):
    layout = RegionLayout(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3), noise_level=1.0)
    joint = JointLayout(layout, patch_size=1, text_first=True)
    tokens = random_tokens(1, 2, *(7, 7) if has_text else (4, 4), 8)
    query, key, value = (own.half() for own in (300 * tokens[0], 300 * tokens[1], tokens[2]))
    rule = DenseDiffusionInjector()
    expected = rule.attend_jointly(query.double(), key.double(), value.double(), joint, has_text=has_text)
    found = rule.attend_jointly(query, key, value, joint, has_text=has_text)
    torch.testing.assert_close(found.double(), expected, atol=0.02, rtol=0.02)


def test_every_token_is_of_its_main_region_or_of_none():
    regions = torch.tensor([[[0.6, 0.3], [0.2, 0.7], [0.2, 0.3], [0.0, 0.0]]])
    assert hard_segments(regions).argmax(-1).tolist() == [[0, 1, 2, 2]]


def test_small_segments_move_more_and_noise_counts_to_the_fifth():
    segments = torch.eye(2)[[0, 1, 1, 1]][None]  # one token of four, and three
    expected = 0.7 * 0.5**5 * torch.tensor([[0.75, 0.25, 0.25, 0.25]])
    torch.testing.assert_close(modulation_strength(segments, 0.7, 0.5), expected)


@pytest.mark.parametrize('is_cross', [True, False])
def test_each_kind_of_layer_has_its_own_weight(is_cross):
    """Between image tokens segments decide; between image and text, which words name a segment."""
    regions = torch.rand(2, 6, 3, generator=torch.Generator().manual_seed(1)).softmax(-1)[..., :2]
    words = torch.zeros(2, 5, 2)
    words[:, 1, 0] = words[:, 3:, 1] = 1
    query, key, value = random_tokens(queries=6, keys=5 if is_cross else 6)
    injector = DenseDiffusionInjector(cross_weight=0.9, self_weight=0.4)
    actual = injector.attend(
        query, key, value, regions, words if is_cross else regions, is_cross=is_cross, noise_level=0.8
    )
    segments = hard_segments(regions)
    own = segments.argmax(-1)
    same = own[:, :, None] == own[:, None, :]
    if is_cross:  # (B, Q, Kt); segment 2 is none, which no word names
        named = torch.cat([words, torch.zeros(2, 5, 1)], dim=-1)
        same = torch.stack([named[b, :, own[b]].T > 0 for b in range(2)])
    strength = modulation_strength(segments, 0.9 if is_cross else 0.4, 0.8)
    expected = range_modulated_attention(query, key, value, same, strength)
    torch.testing.assert_close(actual, expected)
