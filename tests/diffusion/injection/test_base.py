"""What every way of injecting has in common. Shapes: B images, R regions, h w latent grid, T text tokens."""

from contextlib import contextmanager

import pytest
import torch

from mmseg_g4seg import registry
from mmseg_g4seg.diffusion.injection import (
    DenseDiffusionInjector,
    Injection,
    Injector,
    MaskInjector,
    RegionLayout,
)
from mmseg_g4seg.diffusion.injection.base import injector_list
from mmseg_g4seg.refiners import G4SegRefiner, build_refiner
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.diffusion.injections import inject


@pytest.mark.parametrize(
    ('masks', 'token_masks', 'message'),
    [
        (torch.zeros(1, 8, 8), torch.zeros(1, 1, 48), r'region_masks \(B, R, h, w\)'),
        (torch.zeros(1, 1, 8, 8), torch.zeros(1, 48), r'token_masks \(B, R, T\), got .* and \(1, 48\)'),
        (torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 48), 'differ in images or regions'),
        (torch.zeros(2, 1, 8, 8), torch.zeros(1, 1, 48), 'differ in images or regions'),
    ],
)
def test_malformed_layout(masks, token_masks, message):
    with pytest.raises(ValueError, match=message):
        RegionLayout(masks, token_masks)


@pytest.mark.parametrize('rule', [MaskInjector, DenseDiffusionInjector])
@pytest.mark.parametrize('weight', [-0.1, float('nan'), float('inf'), 'much'])
def test_weights_out_of_range(rule, weight):
    for name in ('cross_weight', 'self_weight'):
        with pytest.raises(ValueError, match=f'{name}: expected a finite number of at least 0, got'):
            rule(**{name: weight})


def test_the_default_weights_are_the_papers():
    for rule in (MaskInjector(), DenseDiffusionInjector()):
        assert (rule.cross_weight, rule.self_weight) == (1.0, 0.3)


class TestTaking:
    """Images of a batch go through a transformer apart where their prompts differ in length."""

    def test_everything_of_the_images_taken(self):
        g = torch.Generator().manual_seed(0)
        masks, words = torch.rand(3, 2, 4, 4, generator=g), torch.rand(3, 2, 7, generator=g)
        maps = torch.randint(0, 3, (3, 16, 16), generator=g)
        classes = [(0, 1), (2, 3), (4, 5)]
        given = inject(masks, words, region_maps=maps, region_classes=classes, noise_level=0.7)
        taken = given.take([2, 0], 5).layout
        assert torch.equal(taken.region_masks, masks[[2, 0]])
        assert torch.equal(taken.token_masks, words[[2, 0], :, :5])
        assert torch.equal(taken.region_maps, maps[[2, 0]])
        assert list(taken.region_classes) == [(4, 5), (0, 1)]
        assert taken.noise_level == 0.7

    def test_without_maps(self):
        taken = inject(torch.rand(2, 1, 4, 4), torch.rand(2, 1, 7)).take([1], 7).layout
        assert taken.region_maps is None
        assert not taken.region_classes


def test_masks_take_the_dtype_of_the_latents_and_maps_stay_integers():
    given = inject(torch.rand(1, 1, 4, 4), torch.ones(1, 1, 7), region_maps=torch.zeros(1, 16, 16, dtype=torch.long))
    moved = given.to(torch.zeros(1, dtype=torch.bfloat16)).layout
    assert moved.region_masks.dtype == moved.token_masks.dtype == torch.bfloat16
    assert moved.region_maps.dtype == torch.long


class Noting(Injector):
    """Adds an argument of a U-Net and notes when it is at work."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    @contextmanager
    def installed(self, prior, layout):
        self.log.append(f'{self.name} on')
        try:
            yield
        finally:
            self.log.append(f'{self.name} off')

    def arguments(self, layout, latents, timestep, embeds):
        return {self.name: (layout, timestep)}


class TestSeveral:
    def test_changes_and_arguments_add_up(self, prior):
        log = []
        given = inject(torch.rand(1, 1, 8, 8), torch.zeros(1, 1, 48), Noting('a', log), Noting('b', log))
        with given.installed(prior):
            assert log == ['a on', 'b on']
        assert log == ['a on', 'b on', 'b off', 'a off']
        latents = torch.zeros(1, 4, 8, 8)
        expected = dict.fromkeys(('a', 'b'), (given.layout, 300))
        assert given.arguments(latents, 300, torch.zeros(1, 48, 32)) == expected

    def test_arguments_that_would_overwrite_each_other(self, prior):
        """Two ControlNets: only the second's residuals would reach the U-Net."""
        given = inject(torch.rand(1, 1, 8, 8), torch.zeros(1, 1, 48), Noting('a', []), Noting('a', []))
        with pytest.raises(ValueError, match="expected one injector that gives 'a', got two"):
            given.arguments(torch.zeros(1, 4, 8, 8), 300, torch.zeros(1, 48, 32))

    def test_all_are_undone_after_an_error(self, prior):
        log = []
        given = inject(torch.rand(1, 1, 8, 8), torch.zeros(1, 1, 48), Noting('a', log), MaskInjector())
        before = dict(prior.unet.attn_processors)

        def fail():
            with given.installed(prior):
                assert prior.unet.attn_processors != before
                raise RuntimeError('inside')

        with pytest.raises(RuntimeError, match='inside'):
            fail()
        assert log == ['a on', 'a off']
        assert prior.unet.attn_processors == before

    def test_none_leaves_the_denoiser_as_it_is(self, prior):
        encoded = prior.encode_prompts([['sky']], 'a photo of {name}')
        noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        nothing = Injection(RegionLayout(torch.ones(1, 1, 8, 8), encoded.token_masks), [])
        assert torch.equal(prior.denoise(noisy, 400, encoded, nothing), prior.denoise(noisy, 400, encoded))


class TestList:
    def test_one_several_or_none(self):
        one, other = MaskInjector(), Noting('a', [])
        assert injector_list(one) == [one]
        assert injector_list((one, other)) == [one, other]
        assert injector_list(None) == injector_list([]) == []

    def test_two_rules_of_attention(self):
        """The second would stand in front of the first, which nobody would notice."""
        with pytest.raises(ValueError, match=r'one rule of attention .*, got MaskInjector and DenseDiffusionInjector'):
            injector_list([MaskInjector(), DenseDiffusionInjector()])

    def test_something_else(self):
        with pytest.raises(ValueError, match=r'injection: expected a part of .*, got a str'):
            injector_list(['MaskInjector'])


def test_one_of_your_own_is_a_class_and_a_decorator(prior, monkeypatch):
    """Named by `type` in a refiner's config, with an option that is checked as any other."""
    monkeypatch.setattr(registry, '_PARTS', dict(registry._PARTS))

    @registry.register
    class TurnedInjector(MaskInjector):
        """Injects what is left on the right."""

        def __init__(self, *, strength: float = 1.0) -> None:
            super().__init__(cross_weight=strength, self_weight=strength)

        def attend(self, query, key, value, query_regions, key_regions, *, is_cross, noise_level):
            turned = query_regions.flip(1)
            keys = key_regions if is_cross else key_regions.flip(1)
            return super().attend(query, key, value, turned, keys, is_cross=is_cross, noise_level=noise_level)

    config = dict(type='G4SegRefiner', prior=prior, image_size=IMAGE_SIZE)
    image, coarse = random_case()
    built = build_refiner(dict(config, injection=dict(type='TurnedInjector', strength=4.0)))
    assert isinstance(built, G4SegRefiner)
    assert [type(injector) for injector in built.injectors] == [TurnedInjector]
    plain = build_refiner(dict(config, injection=dict(type='MaskInjector', cross_weight=4.0, self_weight=4.0)))
    assert (built.reconstruct(image, coarse, NAMES) - plain.reconstruct(image, coarse, NAMES)).abs().max() > 1e-4
    with pytest.raises(ValueError, match=r"refiner\.injection: TurnedInjector .*'strenght'.*did you mean 'strength'"):
        build_refiner(dict(config, injection=dict(type='TurnedInjector', strenght=4.0)))
