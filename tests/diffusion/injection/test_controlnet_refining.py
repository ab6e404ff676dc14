"""Refining with a ControlNet in place of injection into attention, or beside it."""

import pytest
import torch

from mmseg_g4seg import build_refiner
from mmseg_g4seg.diffusion.injection import ControlNetInjector, MaskInjector
from mmseg_g4seg.diffusion.injection.control_images import control_colours
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.g4seg.encoding import encode_images
from mmseg_g4seg.refiners.g4seg.reconstruction import NullTextInversion
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from tests.conftest import IMAGE_SIZE, NAMES, ROOT, build_random_parts, random_case
from tests.diffusion.pipelines import build_controlnet

SKY, GRASS, BLACK = (6, 230, 230), (4, 250, 7), (0, 0, 0)


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp('controlled')
    parts = build_random_parts()
    parts.save(folder / 'prior')
    build_controlnet(parts.unet).save_pretrained(folder / 'controlnet')
    return str(folder / 'prior'), str(folder / 'controlnet')


@pytest.fixture(scope='module')
def prior(folders):
    return load_prior(folders[0])


@pytest.fixture(scope='module')
def control(folders):
    return ControlNetInjector(folders[1])


@pytest.fixture
def seen(prior, monkeypatch):
    """Every injection that reaches the denoiser, by timestep."""
    injections, denoise = [], prior.denoise

    def spy(noisy, timestep, prompts, injection=None):
        injections.append((timestep, injection))
        return denoise(noisy, timestep, prompts, injection)

    monkeypatch.setattr(prior, 'denoise', spy)
    return injections


def make(prior, injection, update=None, **options):
    return G4SegRefiner(prior, update=update, injection=injection, **{'image_size': IMAGE_SIZE, **options})


def painted(control, seen):
    """The images that the ControlNet was shown, (B, 3, H', W') int in 0 to 255 each."""
    layouts = [injection.layout for _, injection in seen if injection is not None]
    return [(control.paint(layout) * 255).round().int() for layout in layouts]


class TestLayouts:
    def test_one_class_and_all_classes(self, prior, control):
        image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
        passes = make(prior, control).passes(ClassList(NAMES))
        (encoded,) = encode_images(prior, [image], ['a'], (IMAGE_SIZE, IMAGE_SIZE))
        layouts = [passes.place(0, encoded, coarse.label_map, group) for group in ([0], [2, 0, 4])]
        _, injection = passes.condition(layouts, 400)
        shown = control.paint(injection.layout)
        assert shown.shape == (2, 3, IMAGE_SIZE, IMAGE_SIZE)
        colours = {0: SKY, 2: GRASS, 4: tuple(control_colours(NAMES)[4].tolist())}
        for i, classes in enumerate(({0}, {0, 2, 4})):
            for y in range(IMAGE_SIZE):
                for x in range(IMAGE_SIZE):
                    c = int(coarse.label_map[y, x])
                    wanted = colours[c] if c in classes else BLACK
                    pixel = shown[i, :, y, x] * 255
                    assert pixel.round().int().tolist() == list(wanted)

    def test_at_the_priors_image_size(self, prior, control, seen):
        update = CorrespondenceUpdate(confidence_range=(0.0, 1.0))
        make(prior, control, update, image_size=(32, 48)).refine(*random_case(), NAMES)
        assert {image.shape[1:] for image in painted(control, seen)} == {(3, 32, 48)}

    def test_no_maps_without_a_controlnet(self, prior):
        image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
        passes = make(prior, MaskInjector()).passes(ClassList(NAMES))
        (encoded,) = encode_images(prior, [image], ['a'], (IMAGE_SIZE, IMAGE_SIZE))
        layout = passes.place(0, encoded, coarse.label_map, [0, 1])
        assert layout.region_map is None
        assert passes.condition([layout], 400)[1].layout.region_maps is None


VARIANTS = {
    'correspondence': lambda: CorrespondenceUpdate(confidence_range=(0.0, 0.95)),
    'joint': lambda: CorrespondenceUpdate(confidence_range=(0.0, 0.95), joint=True),
    'likelihood': lambda: LikelihoodUpdate(timesteps=(100, 400)),
    'null text': lambda: CorrespondenceUpdate(
        confidence_range=(0.0, 0.95), reconstruction=NullTextInversion(steps=2, inner_steps=2)
    ),
}


@pytest.mark.parametrize('update', VARIANTS.values(), ids=VARIANTS)
class TestRefining:
    @pytest.mark.parametrize('beside', [[], [MaskInjector()]], ids=['in place of attention', 'beside attention'])
    def test_control_reaches_the_result(self, prior, control, update, beside):
        image, coarse = random_case()
        refined = make(prior, [*beside, control], update()).refine(image, coarse, NAMES)
        torch.testing.assert_close(refined.probs.sum(0), torch.ones(24, 40))
        again = make(prior, [*beside, control], update()).refine(image, coarse, NAMES)
        assert torch.equal(again.probs, refined.probs)
        without = make(prior, beside, update()).refine(image, coarse, NAMES)
        assert not torch.equal(refined.probs, without.probs)

    def test_a_scale_of_0_is_none(self, prior, folders, update):
        image, coarse = random_case()
        off = make(prior, [MaskInjector(), ControlNetInjector(folders[1], scale=0.0)], update())
        expected = make(prior, MaskInjector(), update()).refine(image, coarse, NAMES)
        assert torch.equal(off.refine(image, coarse, NAMES).probs, expected.probs)

    def test_same_for_any_batch_and_chunk(self, prior, control, update):
        cases = [random_case(seed=s, height=20 + 4 * s) for s in range(2)]
        injection = [MaskInjector(), control]
        one_at_a_time = make(prior, injection, update(), passes_per_batch=1)
        alone = [one_at_a_time.refine(*case, NAMES, key=k) for k, case in enumerate(cases)]
        together = make(prior, injection, update(), passes_per_batch=3).refine_batch(
            [c[0] for c in cases], [c[1] for c in cases], NAMES
        )
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one.probs, other.probs, atol=1e-4, rtol=0)

    @pytest.mark.parametrize('size', [(1, 1), (7, 900)])
    def test_extreme_images(self, prior, control, update, size):
        image, coarse = random_case(*size)
        refined = make(prior, [MaskInjector(), control], update()).refine(image, coarse, NAMES)
        assert torch.isfinite(refined.probs).all()


class TestWhatIsShown:
    def test_candidates_of_the_likelihood_update(self, prior, control, seen):
        """Uncertain pixels are painted as each candidate in turn; as background they are black."""
        image = torch.rand(3, IMAGE_SIZE, IMAGE_SIZE)
        probs = torch.full((3, IMAGE_SIZE, IMAGE_SIZE), 0.02)
        probs[1, :, :16] = probs[2, :, 24:] = 0.96
        probs[1, :, 16:24], probs[2, :, 16:24], probs[0, :, 16:24] = 0.5, 0.3, 0.2
        probs = probs / probs.sum(0)
        refiner = make(prior, control, LikelihoodUpdate(timesteps=(300,)))
        refiner.refine(image, Prediction(probs, probs.argmax(0)), ClassList(['background', 'sky', 'grass']))
        (shown,) = painted(control, seen)
        assert [tuple(c.tolist()) for c in shown[:, :, 0, 20]] == [SKY, GRASS, BLACK]
        assert {tuple(c.tolist()) for c in shown[:, :, 0, 3]} == {SKY}
        assert {tuple(c.tolist()) for c in shown[:, :, 0, 30]} == {GRASS}

    def test_inversion_shows_it_at_every_step_of_generation(self, prior, control, seen):
        reconstruction = NullTextInversion(steps=4, inner_steps=1)
        make(prior, control).reconstruct(*random_case(), NAMES, reconstruction=reconstruction)
        assert [timestep for timestep, injection in seen if injection is not None] == [999, 749, 499, 249]
        assert all(image.any() for image in painted(control, seen))

    def test_reconstruction_alone(self, prior, control):
        image, coarse = random_case()
        on, off = (make(prior, injection).reconstruct(image, coarse, NAMES) for injection in ([control], []))
        assert (on - off).abs().max() > 1e-4

    def test_the_palette_decides_for_classes_that_ade20k_lacks(self, prior, control):
        """One injector for several data sets: each is painted in its own colours."""
        image, coarse = random_case()
        palette = [[250, 10, 10], [10, 250, 10], [10, 10, 250], [250, 250, 10], [250, 10, 250]]
        names = ['dragon', 'griffin', 'unicorn', 'sphinx', 'centaur']
        refiner = make(prior, control)
        makes = [refiner.reconstruct(image, coarse, ClassList(names, palette=p)) for p in (palette, None, palette)]
        assert (makes[0] - makes[1]).abs().max() > 1e-5
        assert torch.equal(makes[0], makes[2])


@pytest.mark.parametrize('part', ['controlnet_down_blocks', 'controlnet_mid_block'])
def test_what_overflows_in_it_is_not_the_u_nets(prior, part):
    controlnet = build_controlnet(prior.unet)
    for weight in getattr(controlnet, part).parameters():
        weight.data.fill_(torch.inf)
    refiner = make(prior, ControlNetInjector(controlnet), LikelihoodUpdate(timesteps=(300,)))
    with pytest.raises(FloatingPointError, match=r'the ControlNet of the prior gave NaN or infinite numbers'):
        refiner.refine(*random_case(), NAMES)


class TestBuilding:
    @pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
    def test_from_a_config(self, folders, dtype):
        refiner = build_refiner(
            dict(
                type='G4SegRefiner',
                prior=dict(source=folders[0], dtype=dtype),
                injection=dict(type='ControlNetInjector', source=folders[1], scale=0.8),
                image_size=32,
            )
        )
        (injector,) = refiner.injectors
        assert injector.controlnet.dtype == getattr(torch, dtype)
        assert injector.scale == 0.8
        image, coarse = random_case()
        palette = [[i, i, i] for i in range(len(NAMES))]
        refined = refiner.refine(image, coarse, ClassList(NAMES, palette=palette))
        assert not torch.equal(refined.probs, coarse.probs)

    def test_beside_attention(self, folders, prior):
        injection = [dict(type='MaskInjector', cross_weight=2.0), dict(type='ControlNetInjector', source=folders[1])]
        refiner = build_refiner(dict(type='G4SegRefiner', prior=prior, injection=injection, image_size=32))
        rule, injector = refiner.injectors
        assert (type(rule), rule.cross_weight) == (MaskInjector, 2.0)
        assert injector.controlnet is not None

    def test_the_config_in_place_of_attention(self, folders):
        config = pytest.importorskip('mmengine.config')
        path = ROOT / 'configs/_base_/refiners/g4seg_controlnet.py'
        given = config.Config.fromfile(path).refiner
        assert given.prior['source'] == 'stable-diffusion-v1-5/stable-diffusion-v1-5'
        assert given.injection == dict(type='ControlNetInjector', source='lllyasviel/control_v11p_sd15_seg', scale=1.0)
        given.injection['source'] = folders[1]
        given['update']['features'] = dict(type='DenoiserFeatures')
        refiner = build_refiner(dict(given, prior=folders[0], image_size=32))
        (injector,) = refiner.injectors
        assert isinstance(injector, ControlNetInjector), 'no rule of attention'
        assert injector.scale == 1

    @pytest.mark.parametrize(
        ('injection', 'message'),
        [
            (dict(type='ControlNetInjector', source='nobody/nothing', scale=-1.0), 'scale: expected'),
            (dict(type='ControlNetInjector', sorce='nobody/nothing'), r"no option 'sorce'.*'source'"),
            (dict(type='ControlNetInjector'), "expected the option 'source'"),
        ],
    )
    def test_bad_options_come_before_the_prior(self, injection, message):
        with pytest.raises(ValueError, match=message):
            build_refiner(dict(type='G4SegRefiner', prior='nowhere', injection=injection))
