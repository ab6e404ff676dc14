"""Whole U-Nets under a layout. Shapes: B images, R regions, h w latent grid, Q query tokens."""

import math
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.diffusion.injection import DenseDiffusionInjector, MaskInjector, RegionLayout
from mmseg_g4seg.diffusion.injection.unet_layers import (
    TokenGrids,
    UNetInjectionProcessor,
    unet_attention_replaced,
)
from tests.conftest import build_random_parts
from tests.diffusion.oracles import explicit_attention

RULES = [MaskInjector, DenseDiffusionInjector]


class ExplicitProcessor:
    """An attention processor that writes the whole bias out, for comparison in a whole U-Net."""

    def __init__(self, layout, injector, log):
        self.layout, self.injector, self.log = layout, injector, log

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        cross = encoder_hidden_states is not None
        context = encoder_hidden_states if cross else hidden_states
        side = math.isqrt(hidden_states.shape[1])
        regions = F.adaptive_avg_pool2d(self.layout.region_masks, (side, side)).flatten(2)  # (B, R, Q)
        keys = self.layout.token_masks if cross else regions
        weight = self.injector.cross_weight if cross else self.injector.self_weight
        bias = weight * torch.einsum('brq,brk->bqk', regions, keys)
        self.log.append((cross, hidden_states.shape[1]))
        split = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # noqa: E731
        q, k, v = split(attn.to_q(hidden_states)), split(attn.to_k(context)), split(attn.to_v(context))
        return attn.to_out[0](explicit_attention(q, k, v, bias[:, None]).transpose(1, 2).flatten(2))


def layout_of(batch=2, regions=1, **options):
    g = torch.Generator().manual_seed(3)
    token_masks = torch.zeros(batch, regions, 48)
    for r in range(regions):
        token_masks[:, r, 3 + 2 * r : 5 + 2 * r] = 1
    masks = torch.rand(batch, regions + 1, 8, 8, generator=g).softmax(1)[:, :regions]
    return RegionLayout(masks, token_masks, **options)


@pytest.fixture(scope='module')
def unet():
    return build_random_parts().unet


def run(unet, injector=None, layout=None, size=(8, 8), batch=2):
    g = torch.Generator().manual_seed(5)
    latents, embeds = torch.randn(batch, 4, *size, generator=g), torch.randn(batch, 48, 32, generator=g)
    with torch.no_grad(), nullcontext() if injector is None else unet_attention_replaced(unet, injector, layout):
        return unet(latents, 400, embeds).sample


@pytest.mark.parametrize('regions', [1, 3])
def test_whole_unet_equals_explicit_masks_at_every_level(unet, regions):
    layout, injector, log = layout_of(regions=regions), MaskInjector(), []
    originals = dict(unet.attn_processors)
    unet.set_attn_processor({name: ExplicitProcessor(layout, injector, log) for name in originals})
    expected = run(unet)
    unet.set_attn_processor(dict(originals))
    assert set(log) == {(c, q) for c in (False, True) for q in (64, 16, 4)}
    torch.testing.assert_close(run(unet, injector, layout), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('rule', RULES)
def test_changes_the_output(unet, rule):
    layout = layout_of(noise_level=1.0)
    assert (run(unet, rule(), layout) - run(unet)).abs().max() > 1e-4


@pytest.mark.parametrize('rule', RULES)
def test_zero_weights_are_bit_identical(unet, rule):
    assert torch.equal(run(unet, rule(cross_weight=0.0, self_weight=0.0), layout_of()), run(unet))


@pytest.mark.parametrize('rule', RULES)
@pytest.mark.parametrize('kept', ['cross_weight', 'self_weight'])
def test_one_weight_of_zero_leaves_the_other(unet, rule, kept):
    off = {'cross_weight': 0.0, 'self_weight': 0.0}
    layout = layout_of(noise_level=1.0)
    one = run(unet, rule(**{**off, kept: 1.0}), layout)
    assert not torch.equal(one, run(unet))
    assert not torch.equal(one, run(unet, rule(cross_weight=1.0, self_weight=1.0), layout))


def test_dense_diffusion_grows_with_noise_level(unet):
    plain = run(unet)
    shifts = []
    for level in (0.1, 0.4, 1.0):
        injected = run(unet, DenseDiffusionInjector(), layout_of(noise_level=level))
        shifts.append(float((injected - plain).abs().max()))
    assert shifts[0] < shifts[1] < shifts[2]


def test_processors_come_back_after_an_exception(unet):
    before = dict(unet.attn_processors)
    seen = []

    def fail():
        with unet_attention_replaced(unet, MaskInjector(), layout_of()):
            seen.extend(unet.attn_processors.values())
            raise RuntimeError('inside')

    with pytest.raises(RuntimeError, match='inside'):
        fail()
    assert seen
    assert all(isinstance(p, UNetInjectionProcessor) for p in seen)
    assert unet.attn_processors == before


def test_layout_of_another_size_is_refused_and_undone(unet):
    before = dict(unet.attn_processors)
    layout = RegionLayout(torch.rand(2, 1, 5, 5), torch.zeros(2, 1, 48))
    with pytest.raises(ValueError, match='64 tokens'):
        run(unet, MaskInjector(), layout)
    assert unet.attn_processors == before


def test_layout_of_fewer_images_is_refused(unet):
    with pytest.raises(ValueError, match=r'a layer has 2 images of 64 .* has 1 images'):
        run(unet, MaskInjector(), layout_of(batch=1), batch=2)


def test_odd_grids(unet):
    g = torch.Generator().manual_seed(0)
    layout = RegionLayout(torch.rand(1, 1, 12, 20, generator=g), torch.zeros(1, 1, 48))
    assert run(unet, MaskInjector(), layout, (12, 20), batch=1).shape == (1, 4, 12, 20)


def test_autoencoder_is_left_alone(parts):
    before = dict(parts.vae.attn_processors)
    assert before, 'this autoencoder has attention'
    with unet_attention_replaced(parts.unet, MaskInjector(), layout_of()):
        assert parts.vae.attn_processors == before


class TestTokenGrids:
    def test_levels_are_halved_and_rounded_up(self):
        grids = TokenGrids(RegionLayout(torch.rand(1, 2, 6, 10), torch.zeros(1, 2, 48)))
        for tokens in (6 * 10, 3 * 5, 2 * 3, 1 * 2, 1):
            assert grids.regions(1, tokens).shape == (1, tokens, 2)
        with pytest.raises(ValueError, match=r'30 tokens; .* grids of \[1, 2, 6, 15, 60\] tokens'):
            grids.regions(1, 30)

    def test_cells_hold_the_share_of_a_region(self):
        masks = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        regions = TokenGrids(RegionLayout(masks, torch.zeros(2, 3, 48))).regions(2, 4)
        for n, (y, x) in enumerate(((0, 0), (0, 2), (2, 0), (2, 2))):
            torch.testing.assert_close(regions[:, n], masks[:, :, y : y + 2, x : x + 2].mean(dim=(2, 3)))

    def test_words_are_those_of_the_layout(self):
        layout = layout_of(regions=3)
        grids = TokenGrids(replace(layout, noise_level=0.9))
        assert torch.equal(grids.token_regions, layout.token_masks.transpose(1, 2))
        assert grids.layout.noise_level == 0.9
