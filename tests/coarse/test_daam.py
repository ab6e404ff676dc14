"""Shapes: M maps (layers times heads), K tokens, h w latent grid."""

import torch

from mmseg_g4seg.coarse.daam import DAAM, heat_maps
from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps
from tests.coarse.priors import IMAGE_SIZE, build
from tests.diffusion.injection.test_attention_maps import as_query_and_key
from tests.oracle_files import load_oracle


def test_each_head_is_clamped_on_its_own():
    """Beside a steep edge bicubic resizing gives less than 0, which the other head must not make up for."""
    steep, flat = torch.tensor([0.0, 0.0, 1.0, 0.0]).view(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.05)
    maps = torch.cat([steep, flat])
    resized = torch.nn.functional.interpolate(maps, (8, 8), mode='bicubic')
    assert resized.min() < -0.01
    found = heat_maps([maps], (8, 8))
    torch.testing.assert_close(found, (resized[0].clamp_min(0) + 0.05) / 2)
    assert found.min() >= 0.025


def test_every_layer_counts_alike():
    """Two layers at one level and one at another: a third each."""
    constant = [torch.full((2, 1, 4, 4), 0.3), torch.full((1, 1, 2, 2), 0.9)]
    torch.testing.assert_close(heat_maps(constant, (4, 4)), torch.full((1, 4, 4), 0.5))


def test_the_middle_of_stable_diffusion_is_left_out():
    places = [('down', 1), ('middle', 8), ('up', 2), ('up', 1)]
    layers = [AttentionLayer(torch.nn.Identity(), 'cross', part, 0, level, lambda *_: ()) for part, level in places]
    cross, own, levels = DAAM.choose(None, layers, None)
    assert (levels, own) == ([2, 1], [])
    assert [layer.part for layer in cross] == ['down', 'up', 'up']
    assert DAAM.choose(None, layers, [8])[2] == [8]


def test_reads_no_self_attention():
    assert DAAM(build('tiny'), image_size=IMAGE_SIZE).levels == [4, 2, 1]
    assert DAAM(build('sd3'), image_size=IMAGE_SIZE).self_layers == []


def test_equals_the_authors_code():
    """Heat maps of all words, through the recorder: theirs are sums over steps, ours means."""
    arrays, meta = load_oracle('daam')
    side, steps = meta['side'], len(arrays['in_layer0'])
    layers = {
        i: AttentionLayer(torch.nn.Identity(), 'cross', part, i, side // own, lambda *_: ())
        for i, (part, own) in enumerate(meta['layers'])
    }
    cross, _, levels = DAAM.choose(None, list(layers.values()), None)
    assert meta['skipped_factor'] not in levels
    maps = AttentionMaps((side, side), cross_layers=cross, keep_heads=True)
    for step in range(steps):
        for layer in cross:
            maps.add(layer, *as_query_and_key(arrays[f'in_layer{layer.block}'][step]))
    # half of each, as `as_query_and_key` says
    found = heat_maps([maps.cross(level)[:, :-1] * 2 for level in levels], (side, side)) * steps
    # relative, too: from 2 on a float's last bit is 2.4e-7
    torch.testing.assert_close(found[: len(arrays['out_maps'])], arrays['out_maps'], atol=3e-7, rtol=3e-7)
    word = torch.tensor(meta['word_tokens'])
    source = DAAM.__new__(DAAM)
    source.levels = levels
    actual = source.map_of(maps, 0, word) * 2 * steps
    torch.testing.assert_close(actual, arrays['out_word'], atol=3e-7, rtol=3e-7)
