"""Shapes: N tokens, h w token grid, H W image size."""

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.coarse.seediff import VARIANCE_FLOOR, SeeDiff
from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps
from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.ops.seeded_growth import min_max, seeded_growth
from tests.coarse.priors import IMAGE_SIZE, build
from tests.conftest import random_case
from tests.diffusion.injection.test_attention_maps import as_query_and_key, stand_in
from tests.ops.test_seeded_growth import check_steps
from tests.oracle_files import load_oracle


def layers_of(**levels):
    """Layers such as `up1='cs'`: cross and self in the decoder at 1 cell a token."""
    kinds = {'c': 'cross', 's': 'self'}
    places = {'down': 'down', 'mid': 'middle', 'up': 'up'}
    return [
        AttentionLayer(torch.nn.Identity(), kinds[letter], places[name.rstrip('1248')], i, int(name[-1]), lambda *_: ())
        for i, (name, letters) in enumerate(levels.items())
        for letter in letters
    ]


def choose(layers, levels=None):
    return SeeDiff.choose(None, layers, levels)


def described(layers):
    return [f'{layer.part}{layer.level}' for layer in layers]


class TestLevels:
    SD15: ClassVar = dict(down1='scsc', down2='scsc', down4='scsc', mid8='sc', up4='scscsc', up2='scscsc', up1='scscsc')

    def test_stable_diffusion(self):
        """The middle block alone has 8 x 8 tokens: seeds are at 16, and the first decoder layer of each level grows."""
        layers = layers_of(**self.SD15)
        cross, own, levels = choose(layers)
        assert levels == [4, 2, 1]
        assert described(cross) == ['up4'] * 3 + ['down4'] * 2
        assert described(own) == ['up4', 'up2', 'up1']
        assert own[2] is next(layer for layer in layers if layer.part == 'up' and layer.level == 1)

    def test_sdxl(self):
        """Nothing at the finest level, and the middle block is of the coarsest."""
        cross, own, levels = choose(layers_of(down2='scsc', down4='scsc', mid4='sc', up4='scsc', up2='sc'))
        assert levels == [4, 2]
        assert described(cross) == ['up4', 'up4', 'middle4', 'down4', 'down4']
        assert described(own) == ['up4', 'up2']

    def test_embedded_prior(self):
        source = SeeDiff(build('tiny'))
        assert source.levels == [4, 2]
        assert described(source.cross_layers) == ['up4', 'up4', 'middle4', 'down4']
        assert described(source.self_layers) == ['up4', 'up2']

    def test_transformers_have_averages(self):
        source = SeeDiff(build('sd3'), image_size=IMAGE_SIZE)
        assert source.levels == [8, 4, 2]
        assert [layer.block for layer in source.self_layers] == [1]
        assert [layer.block for layer in SeeDiff(build('sd3'), image_size=64, blocks=[0, 2]).self_layers] == [0, 2]

    def test_asked_for(self):
        cross, own, levels = choose(layers_of(**self.SD15), [1, 2])
        assert levels == [2, 1]
        assert described(own) == ['up2', 'up1']
        assert described(cross) == ['up2'] * 3 + ['down2'] * 2

    def test_no_words_at_the_coarsest(self):
        with pytest.raises(ValueError, match='no cross-attention at 2 latent cells'):
            choose(layers_of(up2='s', up1='cs'))


def test_map_is_the_growth_of_what_was_recorded():
    """Two tokens, latents that are not square: the columns of both go in, those of others do not."""
    layers = layers_of(up2='cs', down2='c', up1='s')
    source = SeeDiff.__new__(SeeDiff)
    source.cross_layers, source.self_layers, source.levels = choose(layers)
    maps = AttentionMaps((8, 12), cross_layers=source.cross_layers, self_layers=source.self_layers)
    generator = torch.Generator().manual_seed(0)
    probs = {}
    for layer in (*source.cross_layers, *source.self_layers):
        tokens = (8 // layer.level) * (12 // layer.level)
        query, key = (torch.randn(2, 3, n, 5, generator=generator) for n in (tokens, 7 if layer.reads_text else tokens))
        maps.add(layer, query, key)
        probs[layer] = (query @ key.mT / 5**0.5).softmax(-1).mean(1)[1]
    columns = [probs[layer][:, token].view(4, 6) for layer in source.cross_layers for token in (2, 5)]
    expected = seeded_growth(torch.stack(columns), {4: probs[layers[1]], 8: probs[layers[3]]}, 1e-4 / 64)
    torch.testing.assert_close(source.map_of(maps, 1, torch.tensor([2, 5])), expected, atol=5e-6, rtol=0)


class TestBackgroundMask:
    """Tokens of three kinds attend to their own kind: the left half, the right upper quarter and the lower one."""

    LEFT, UPPER, LOWER = torch.zeros(3, 4, 4).bool()
    LEFT[:, :2] = UPPER[:2, 2:] = LOWER[2:, 2:] = True

    def source(self, score):
        source = SeeDiff(build('tiny'), image_size=IMAGE_SIZE, background_score=score)
        own = stand_in('self', 1, 'up')
        source.self_layers, source.levels = [own], [1]
        maps = source.empty_maps((4, 4))
        kinds = torch.stack([self.LEFT, self.UPPER, self.LOWER]).flatten(1).T.float()[None, None]  # (1, 1, 16, 3)
        maps.add(own, 99 * kinds, kinds)
        return source, maps

    def test_is_like_what_the_map_leaves(self):
        source, maps = self.source('mask')
        found = source.background_of(maps, 0, self.UPPER.float(), torch.zeros(4, 4))
        assert found[self.UPPER].eq(0).all()
        assert found[self.LEFT].eq(1).all()
        assert 0.4 < found[self.LOWER].mean() < 0.6  # half as many are like it
        # on the image's grid, whatever the maps'
        assert source.background_of(maps, 0, self.UPPER.float(), torch.zeros(8, 12)).shape == (8, 12)

    def test_of_several_classes_it_is_what_all_leave(self):
        source, maps = self.source('mask')
        source.map_of = lambda _, i, *__: (self.UPPER, self.LOWER)[i].float()
        inner = source.background_of
        source.background_of = lambda _, __, found, probs: inner(maps, 0, found, probs)
        source.finish = lambda probs, _: probs
        found = source.predict(torch.rand(3, 4, 4), ['background', 'sky', 'tree'])
        assert torch.equal(found.label_map, self.UPPER + 2 * self.LOWER.long())
        assert found.probs[0][self.LEFT].eq(1).all()

    def test_without_seeds_all_is_background(self):
        """The class has no pixel; beside another it does not take any of the background."""
        source, maps = self.source('mask')
        nothing = torch.zeros(4, 4)
        assert source.background_of(maps, 0, nothing, nothing).eq(1).all()
        found = self.UPPER.float()
        beside = source.background_of(maps, 0, found, found)
        assert torch.equal(torch.minimum(beside, source.background_of(maps, 0, nothing, nothing)), beside)

    def test_attention_that_tells_nothing_apart(self):
        source, _ = self.source('mask')
        alike = source.empty_maps((4, 4))
        alike.add(source.self_layers[0], torch.zeros(1, 1, 16, 3), torch.zeros(1, 1, 16, 3))
        found = self.UPPER.float()
        assert torch.equal(source.background_of(alike, 0, found, found), 1 - found)

    def test_a_picture_of_one_pixel(self):
        found = SeeDiff(build('tiny'), image_size=IMAGE_SIZE, background_score='mask').predict(
            torch.rand(3, 1, 1), ['background', 'sky', 'tree']
        )
        torch.testing.assert_close(found.probs.sum(), torch.tensor(1.0))

    def test_a_number_and_the_rest(self):
        source, maps = self.source(0.3)
        probs = torch.rand(4, 4)
        assert source.background_of(maps, 0, probs, probs).flatten().tolist() == pytest.approx([0.3])
        source, maps = self.source('rest')
        assert torch.equal(source.background_of(maps, 0, probs, probs), 1 - probs)


class TestFinish:
    PROBS = F.avg_pool2d(torch.rand(1, 10, 14, generator=torch.Generator().manual_seed(0)), 3, 1)[0]

    def finished(self, **options):
        image = random_case(40, 56)[0]
        source = SeeDiff(build('tiny'), image_size=IMAGE_SIZE, **options)
        return source, source.finish(self.PROBS, image), image

    def test_without_pamr(self):
        source, full, _ = self.finished()
        resized = F.interpolate(self.PROBS[None, None], (40, 56), mode='bicubic')[0, 0]
        torch.testing.assert_close(full, (resized - resized.min()) / (resized.max() - resized.min()))
        assert source.background_score == 0.5

    def test_with_pamr(self):
        source, refined, image = self.finished(pamr_iterations=3)
        mask = (self.finished()[1] > 0.3).float()[None]
        expected = pixel_adaptive_average(image * 255, mask, (1,), 3, std_factor=0.2)[0]
        torch.testing.assert_close(refined, min_max(expected))
        assert source.background_score == 0.8
        assert self.finished(pamr_iterations=3, background_score=0.6)[0].background_score == 0.6

    def test_flat(self):
        """A class without seeds has no mask, with PAMR or without."""
        for iterations in (0, 2):
            source = SeeDiff(build('tiny'), image_size=IMAGE_SIZE, pamr_iterations=iterations)
            assert source.finish(torch.zeros(4, 4), torch.rand(3, 9, 7)).eq(0).all()

    @pytest.mark.parametrize('iterations', [-1, 1.5, 'abc'])
    def test_bad_iterations(self, iterations):
        with pytest.raises(ValueError, match='pamr_iterations: expected an integer of at least 0, got'):
            SeeDiff('tiny', pamr_iterations=iterations)


ORACLES = pytest.mark.parametrize('name', ['seediff_sd14', 'seediff_two_tokens', 'seediff_tiny'])


class TestAuthorsCode:
    """Their numbers; the queries and keys of all layers that they have come in as a denoiser's do."""

    @ORACLES
    def test_from_recorded_attention_to_the_mask(self, name):
        arrays, meta = load_oracle(name)
        fine, coarse, parts = meta['levels'][-1], meta['levels'][0], dict(up='up', mid='middle', down='down')
        cross = [stand_in('cross', fine // coarse, parts[place]) for place in meta['cross_places']]
        own = {n: [stand_in('self', fine // n, parts[p]) for p in meta['self_places'][str(n)]] for n in meta['levels']}
        source = SeeDiff(build('tiny'), image_size=IMAGE_SIZE)
        chosen = source.choose([*cross, *(layer for layers in own.values() for layer in layers)], None)
        source.cross_layers, source.self_layers, source.levels = chosen
        maps = source.empty_maps((fine, fine))
        for step, layers in enumerate(arrays['in_cross']):
            for layer, probs in zip(cross, layers, strict=True):
                if layer in source.cross_layers:
                    maps.add(layer, *as_query_and_key(probs))
            for n, alike in own.items():
                for i, layer in enumerate(alike):
                    if layer in source.self_layers:
                        pair = (arrays[f'in_self{n}_{part}'][step, i][None] for part in ('query', 'key'))
                        maps.add(layer, *pair)
        for layer in source.cross_layers:
            maps._sums[layer] *= 2  # as_query_and_key halves what comes in
        tokens = torch.tensor(meta['token_ids']).flatten()
        columns = maps.cross(source.levels[0], 0)[:, tokens].flatten(0, 1)
        attention = {maps.grid(level)[0]: maps.self_attention(level, 0) for level in source.levels}
        check_steps(columns, attention, VARIANCE_FLOOR, arrays)
        found = source.map_of(maps, 0, tokens)
        torch.testing.assert_close(found, arrays['out_prob_c'], atol=1e-5, rtol=0)
        check_masks(source.finish(found, torch.zeros(3, *2 * [int(arrays['out_full_size'])])), arrays)

    @ORACLES
    def test_the_finish(self, name):
        arrays, _ = load_oracle(name)
        side = int(arrays['out_full_size'])
        full = SeeDiff(build('tiny'), image_size=IMAGE_SIZE).finish(arrays['out_prob_c'], torch.zeros(3, side, side))
        check_masks(full, arrays)


def check_masks(full, arrays):
    torch.testing.assert_close(full[::4, ::4], arrays['out_prob_full_every4'], atol=5e-6, rtol=0)
    for threshold in (0.5, 0.3):
        packed = arrays[f'out_mask_{threshold}_packed'].int()
        bits = (packed[:, None] >> torch.arange(7, -1, -1)) & 1
        assert torch.equal((full > threshold).flatten(), bits.flatten().bool())
