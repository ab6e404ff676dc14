"""Processors that a user has put on the U-Net already: they work under injection, or an error names them."""

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.models import attention_processor as diffusers_processors

from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
from mmseg_g4seg.diffusion.injection import MaskInjector
from mmseg_g4seg.diffusion.injection.unet_layers import PLAIN
from tests.conftest import build_random_parts
from tests.diffusion.injection.test_unet_layers import layout_of, run

WEIGHTS = [(0.0, 0.0), (1.0, 0.0), (0.0, 0.3), (1.0, 0.3)]
ADDING = ['PAGIdentitySelfAttnProcessor2_0', 'PAGCFGIdentitySelfAttnProcessor2_0']


def set_up(unet, how):
    if how == 'sliced':
        unet.set_attention_slice(1)
    elif how == 'fused':
        unet.fuse_qkv_projections()
    elif how == 'FreeU':
        unet.enable_freeu(s1=0.9, s2=0.2, b1=1.5, b2=1.6)
    elif how == 'unsliced':
        unet.set_attn_processor(diffusers_processors.AttnProcessor())


@pytest.mark.parametrize(('cross_weight', 'self_weight'), WEIGHTS)
@pytest.mark.parametrize('how', ['sliced', 'fused', 'unsliced'])
def test_other_ways_to_compute_the_same(how, cross_weight, self_weight):
    """Sliced attention failed with a TypeError under a weight of 0."""
    unet, injector = build_random_parts().unet, MaskInjector(cross_weight=cross_weight, self_weight=self_weight)
    expected = run(unet, injector, layout_of())
    set_up(unet, how)
    before = dict(unet.attn_processors)
    torch.testing.assert_close(run(unet, injector, layout_of()), expected, atol=1e-5, rtol=1e-5)
    assert unet.attn_processors == before


@pytest.mark.parametrize(('cross_weight', 'self_weight'), WEIGHTS)
def test_freeu_stays(cross_weight, self_weight):
    """It changes skips, not attention, and goes on doing so."""
    unet, injector = build_random_parts().unet, MaskInjector(cross_weight=cross_weight, self_weight=self_weight)
    plain = run(unet, injector, layout_of())
    set_up(unet, 'FreeU')
    changed = run(unet, injector, layout_of())
    assert not torch.equal(changed, plain)
    if cross_weight == self_weight == 0:
        assert torch.equal(changed, run(unet))


@pytest.mark.parametrize(('cross_weight', 'self_weight'), WEIGHTS)
@pytest.mark.parametrize('name', ADDING)
def test_perturbed_attention_is_refused_by_name(name, cross_weight, self_weight):
    unet, injector = build_random_parts().unet, MaskInjector(cross_weight=cross_weight, self_weight=self_weight)
    own = unet.attn_processors
    own[next(key for key in own if 'attn1' in key)] = getattr(diffusers_processors, name)()
    unet.set_attn_processor(dict(own))
    before = dict(unet.attn_processors)
    with pytest.raises(ValueError, match=f'expected plain attention in the U-Net, found {name}'):
        run(unet, injector, layout_of())
    assert unet.attn_processors == before


@pytest.mark.parametrize(('cross_weight', 'self_weight'), WEIGHTS)
def test_an_ip_adapter_is_refused_by_name(cross_weight, self_weight):
    parts, injector = build_random_parts(), MaskInjector(cross_weight=cross_weight, self_weight=self_weight)
    width = parts.unet.config.cross_attention_dim
    projection = {'proj.weight': torch.randn(4 * width, 8), 'proj.bias': torch.zeros(4 * width)}
    projection |= {'norm.weight': torch.ones(width), 'norm.bias': torch.zeros(width)}
    layers, number = {}, 1
    for name, layer in parts.unet.named_modules():
        if name.endswith('attn2'):
            for kind in 'kv':
                layers[f'{number}.to_{kind}_ip.weight'] = getattr(layer, f'to_{kind}').weight.detach().clone()
            number += 2
    parts.unet._load_ip_adapter_weights([{'image_proj': projection, 'ip_adapter': layers}])
    with pytest.raises(ValueError, match=r'found IPAdapterAttnProcessor2_0.*unload_ip_adapter'):
        run(parts.unet, injector, layout_of())
    # a refiner whose weights are 0 injects nothing, and its plain passes failed with a TypeError
    with pytest.raises(ValueError, match=r'found IPAdapterAttnProcessor2_0.*unload_ip_adapter'):
        StableDiffusionPrior(**{name: getattr(parts, name) for name in StableDiffusionPrior.parts})


class Custom(diffusers_processors.AttnProcessor2_0):
    """Somebody's own."""

    def __call__(self, *args, **kwargs):
        return 2 * super().__call__(*args, **kwargs)


def test_somebodys_own_stays_where_nothing_is_injected():
    unet = build_random_parts().unet
    unet.set_attn_processor({name: Custom() if 'attn1' in name else p for name, p in unet.attn_processors.items()})
    expected = run(unet)
    assert torch.equal(run(unet, MaskInjector(cross_weight=0.0, self_weight=0.0), layout_of()), expected)
    assert not torch.equal(run(unet, MaskInjector(cross_weight=1.0, self_weight=0.0), layout_of()), expected)
    with pytest.raises(ValueError, match='found Custom, whose work would be left out'):
        run(unet, MaskInjector(cross_weight=0.0, self_weight=0.3), layout_of())


def test_the_plain_ones_are_there():
    """A name that diffusers changes would be refused, or taken, by mistake."""
    missing = [name for name in PLAIN if not hasattr(diffusers_processors, name)]
    assert missing == []
    assert hasattr(StableDiffusionPipeline, 'unload_ip_adapter')
