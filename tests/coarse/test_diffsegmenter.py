"""Shapes: h w token grid, N = h w."""

import pytest
import torch

from mmseg_g4seg.coarse.base import share_out
from mmseg_g4seg.coarse.diffsegmenter import DiffSegmenter, spread, weighted_levels
from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps
from mmseg_g4seg.ops.masks import resize_maps
from mmseg_g4seg.ops.seeded_growth import min_max
from mmseg_g4seg.prediction import ClassList
from tests.coarse.priors import IMAGE_SIZE, build
from tests.oracle_files import load_oracle


def test_weights_of_the_levels():
    ramp = torch.arange(4.0).view(1, 4)
    levels = {level: ramp * level + 7 for level in (8, 4, 2, 1)}
    torch.testing.assert_close(weighted_levels(levels, (1, 4)), ramp / 3)
    torch.testing.assert_close(weighted_levels({4: ramp, 1: -ramp}, (1, 4)), 0.5 * ramp / 3 + 0.1 * (1 - ramp / 3))


def test_spread_is_a_mean_over_what_is_attended_to():
    attention = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0, 1, 0, 0], [0, 0, 1, 0], [0.25] * 4])
    probs = torch.tensor([[0.0, 1.0], [0.2, 0.4]])
    torch.testing.assert_close(spread(probs, attention), torch.tensor([[0.5, 1.0], [0.2, 0.4]]))


def test_names_weigh_as_compel_weighs_them():
    """`name++`: 1.21 times as far from the embeddings of an empty prompt, the other words as they are."""
    tiny = build('tiny')
    source = DiffSegmenter(tiny, image_size=IMAGE_SIZE, prompt_template='a photo of {name}')
    plain, empty = tiny.encode_prompts([['hot air balloon']], 'a photo of {name}'), tiny.encode_prompts([[]], '{name}')
    weighed = source.encode_prompts([['hot air balloon']])
    named = plain.token_masks[0, 0].bool()
    assert torch.equal(weighed.embeds[:, ~named], plain.embeds[:, ~named])
    expected = empty.embeds + 1.1**2 * (plain.embeds - empty.embeds)
    torch.testing.assert_close(weighed.embeds[:, named], expected[:, named])
    unweighed = DiffSegmenter(tiny, image_size=IMAGE_SIZE, prompt_template='a photo of {name}', name_weight=1.0)
    assert torch.equal(unweighed.encode_prompts([['hot air balloon']]).embeds, plain.embeds)
    with pytest.raises(ValueError, match=r'name_weight: this prior is a transformer, expected 1 or None, got 1\.21'):
        DiffSegmenter(build('flux'), image_size=IMAGE_SIZE, name_weight=1.21)
    for wrong in (0, -1.0, float('nan'), 'x'):
        with pytest.raises(ValueError, match='name_weight: expected a number above 0, got'):
            DiffSegmenter(tiny, image_size=IMAGE_SIZE, name_weight=wrong)


def test_flat_maps_say_nothing():
    assert weighted_levels({1: torch.full((3, 4), 0.2)}, (3, 4)).eq(0).all()


def test_layers_by_the_architecture():
    source = DiffSegmenter(build('tiny'), image_size=IMAGE_SIZE)
    assert source.levels == [4, 2, 1]
    # the finest level has no self-attention
    assert {layer.level for layer in source.self_layers} == {2}
    assert len(source.self_layers) == 3
    transformer = DiffSegmenter(build('flux'), image_size=IMAGE_SIZE, levels=[4, 2])
    assert transformer.levels == [4, 2]
    assert transformer.cross_layers == transformer.self_layers
    with pytest.raises(ValueError, match='which have weights, got 16'):
        DiffSegmenter(build('flux'), image_size=IMAGE_SIZE, levels=[16])


@pytest.mark.parametrize('tokens', [[4], [4, 5]])
def test_equals_the_authors_code(tokens):
    arrays, meta = load_oracle('diffsegmenter')
    sides = {64 // int(side): int(side) for side in meta['weights']}
    for c in (0, 1):
        levels = {
            level: arrays[f'in_class{c}_cross{side}'][..., tokens].mean(dim=(0, 1, 3)).view(side, side)
            for level, side in sides.items()
        }
        cross = weighted_levels(levels, (64, 64))
        expected = arrays[f'out_class{c}_cross_tokens{len(tokens)}']
        torch.testing.assert_close(cross, expected, atol=7e-7, rtol=0)
        layer = AttentionLayer(torch.nn.Identity(), 'self', 'up', 0, 1, lambda *_: ())
        maps = AttentionMaps((64, 64), self_layers=[layer])
        maps.add(layer, arrays[f'in_class{c}_self64_query'], arrays[f'in_class{c}_self64_key'])
        expected = arrays[f'out_class{c}_map_tokens{len(tokens)}']
        torch.testing.assert_close(spread(cross, maps.self_attention(1)), expected, atol=7e-7, rtol=0)


@pytest.mark.parametrize('threshold', [0.3, 0.5])
def test_labels_equal_the_authors(threshold):
    arrays, meta = load_oracle('diffsegmenter')
    scores = torch.stack([min_max(resize_maps(arrays[f'out_class{c}_map_tokens1'], meta['size'])) for c in (0, 1)])
    torch.testing.assert_close(scores * 255, arrays['out_scores_255'], atol=1e-3, rtol=0)
    probs = torch.cat([torch.full_like(scores[:1], threshold), scores])
    found = share_out(probs, ClassList(['background', 'a', 'b']))
    assert torch.equal(found.label_map, arrays[f'out_labels_threshold{threshold}'].long())
