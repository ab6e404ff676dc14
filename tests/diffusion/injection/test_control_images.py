"""Colours and control images, and refining with a ControlNet; C classes, H W label map."""

import pytest
import torch

from mmseg_g4seg import build_refiner
from mmseg_g4seg.diffusion.injection.ade20k_colours import ADE20K_CLASSES
from mmseg_g4seg.diffusion.injection.control_images import (
    ADE20K_COLOURS,
    control_colours,
    number_regions,
    paint_regions,
)
from mmseg_g4seg.diffusion.weights.loading import load_prior
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.layouts import EncodedImage, LayoutPass
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.settings import G4SegSettings
from tests.conftest import IMAGE_SIZE, NAMES, ROOT, build_random_parts, random_case
from tests.diffusion.pipelines import build_controlnet

SKY, WALL, GRASS, ROAD = (6, 230, 230), (120, 120, 120), (4, 250, 7), (140, 140, 140)
OFF = {'cross_weight': 0.0, 'self_weight': 0.0}


def chosen(names, palette=None):
    return [tuple(colour) for colour in control_colours(names, palette).tolist()]


class TestPalette:
    def test_is_that_of_mmseg(self):
        datasets = pytest.importorskip('mmseg.datasets')
        meta = datasets.ADE20KDataset.METAINFO
        assert [list(colour) for _, colour in ADE20K_CLASSES] == meta['palette']
        assert [names.split(',')[0] for names, _ in ADE20K_CLASSES] == [name.strip() for name in meta['classes']]

    def test_facts(self):
        assert len(ADE20K_CLASSES) == 150
        assert len(ADE20K_COLOURS) == len(set(ADE20K_COLOURS)) == 149
        assert ADE20K_CLASSES[6][1] == ADE20K_CLASSES[48][1] == ROAD
        assert (0, 0, 0) not in ADE20K_COLOURS, 'black is for pixels of no class'

    def test_ade20k_is_shown_in_its_own_colours(self):
        expected = [colour for _, colour in ADE20K_CLASSES]
        assert chosen([names.split(', ')[0] for names, _ in ADE20K_CLASSES]) == expected
        assert chosen([names for names, _ in ADE20K_CLASSES]) == expected


class TestColours:
    @pytest.mark.parametrize(
        'name', ['sky', ' Sky', ('heaven', 'sky'), ['firmament', 'SKY'], 'heaven, sky', ('heaven,sky',)], ids=str
    )
    def test_a_name_that_ade20k_has(self, name):
        assert chosen([name], [(255, 0, 0)]) == [SKY]

    @pytest.mark.parametrize(
        ('name', 'main'),
        [
            ('aeroplane', 'airplane'),
            ('motorbike', 'minibike'),
            ('traffic-light', 'traffic light'),
            ('sign', 'signboard'),
        ],
    )
    def test_synonyms_of_ade20k(self, name, main):
        assert chosen([name]) == chosen([main])
        assert chosen([name])[0] == {names.split(',')[0]: colour for names, colour in ADE20K_CLASSES}[main]

    def test_a_main_name_goes_before_a_synonym(self):
        by_index = [colour for _, colour in ADE20K_CLASSES]
        assert chosen(['screen', 'counter', 'stool', 'pot']) == [by_index[i] for i in (130, 45, 110, 125)]

    def test_others_get_the_nearest_colour(self):
        own = [(250, 20, 30), (0, 0, 0), (118, 121, 119)]
        for colour, got in zip(own, chosen(['unicorn', 'dragon', 'griffin'], own), strict=True):
            distances = {c: sum((a - b) ** 2 for a, b in zip(c, colour, strict=True)) for c in ADE20K_COLOURS}
            assert distances[got] == min(distances.values())
        assert got == WALL

    def test_voc_by_index_where_no_palette_is_known(self):
        assert chosen(['a1', 'a2', 'a3']) == chosen(['a1', 'a2', 'a3'], [(0, 0, 0), (128, 0, 0), (0, 128, 0)])

    def test_no_two_classes_share_a_free_colour(self):
        same = [(6, 230, 231)] * 5
        got = chosen(['a', 'b', 'sky', 'c', 'd'], same)
        assert got[2] == SKY, 'a name goes before an index'
        assert len(set(got)) == 5
        distance = [sum((a - b) ** 2 for a, b in zip(c, same[0], strict=True)) for c in got]
        assert distance[0] < distance[1] < distance[3] < distance[4], 'the nearer ones go first'

    def test_of_several_classes_under_one_name_the_free_one(self):
        person, car = chosen(['person', 'car'])
        assert chosen(['person', ('person', 'car'), ('person', 'car')]) == [person, car, person]

    def test_more_classes_than_colours(self):
        names = [f'thing {i}' for i in range(200)]
        counts = torch.tensor([chosen(names).count(colour) for colour in ADE20K_COLOURS])
        assert counts.sum() == 200
        assert counts.min() == 1
        assert counts.max() == 2

    def test_order_of_others_does_not_move_named_ones(self):
        assert chosen(['grass', 'unicorn', 'wall'])[::2] == chosen(['grass', 'dragon', 'wall'])[::2] == [GRASS, WALL]

    def test_no_class(self):
        assert control_colours([]).shape == (0, 3)

    def test_palette_of_another_length(self):
        with pytest.raises(ValueError, match='control_palette: expected 2 colours, one a class, got 1'):
            control_colours(['a', 'b'], [(0, 0, 0)])


class TestPainting:
    def test_pixel_by_pixel(self):
        label_map = torch.tensor([[2, 2, 0], [255, 1, -1]])
        image = paint_regions(number_regions(label_map, [2, 1], (2, 3)), torch.tensor([SKY, GRASS], dtype=torch.uint8))
        black = (0, 0, 0)
        expected = torch.tensor([[SKY, SKY, black], [black, GRASS, black]]) / 255
        assert image.dtype == torch.float32
        assert torch.equal(image, expected.permute(2, 0, 1))

    def test_resized_to_the_nearest_pixel(self):
        label_map = torch.tensor([[3, 4], [5, 3]])
        regions = number_regions(label_map, [3, 5], (4, 6))
        rows = torch.tensor([[1, 1, 1, 0, 0, 0], [2, 2, 2, 1, 1, 1]])
        assert torch.equal(regions, rows.repeat_interleave(2, 0))
        # shrunk, the pixel in the middle of each cell
        assert torch.equal(
            number_regions(torch.arange(9)[None].repeat(3, 1), [1, 4, 7], (1, 3)), torch.tensor([[1, 2, 3]])
        )


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp('controlled')
    parts = build_random_parts()
    parts.save(folder / 'prior')
    build_controlnet(parts.unet).save_pretrained(folder / 'controlnet')
    return str(folder / 'prior'), str(folder / 'controlnet')


@pytest.fixture(scope='module')
def controlled(folders):
    return load_prior(folders[0], controlnet=folders[1])


@pytest.fixture
def seen(controlled, monkeypatch):
    """Every injection that reaches the denoiser, by timestep."""
    injections, denoise = [], controlled.denoise

    def spy(noisy, timestep, prompts, injection=None):
        injections.append((timestep, injection))
        return denoise(noisy, timestep, prompts, injection)

    monkeypatch.setattr(controlled, 'denoise', spy)
    return injections


def make(prior, **settings):
    return G4SegRefiner(prior, settings=G4SegSettings(**{'image_size': IMAGE_SIZE, **settings}))


def with_control(seen):
    return [injection for _, injection in seen if injection is not None]


class TestLayouts:
    def test_one_class_and_all_classes(self, controlled):
        image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
        encoded = EncodedImage(image, image, controlled.encode_images(image[None])[0], 'a')
        layout_pass = LayoutPass(controlled, G4SegSettings(control_scale=0.3), NAMES)
        layouts = [layout_pass.place(0, encoded, coarse.label_map, group) for group in ([0], [2, 0, 4])]
        _, injection = layout_pass.condition(layouts, 400)
        assert injection.control_scale == 0.3
        assert injection.control_image.shape == (2, 3, IMAGE_SIZE, IMAGE_SIZE)
        colours = {0: SKY, 2: GRASS, 4: tuple(control_colours(NAMES)[4].tolist())}
        for i, shown in enumerate(({0}, {0, 2, 4})):
            for y in range(IMAGE_SIZE):
                for x in range(IMAGE_SIZE):
                    c = int(coarse.label_map[y, x])
                    wanted = colours[c] if c in shown else (0, 0, 0)
                    pixel = injection.control_image[i, :, y, x] * 255
                    assert pixel.round().int().tolist() == list(wanted)

    def test_at_the_priors_image_size(self, controlled, seen):
        make(controlled, image_size=(32, 48)).refine(*random_case(), NAMES)
        assert {injection.control_image.shape[1:] for injection in with_control(seen)} == {(3, 32, 48)}

    def test_no_image_without_a_controlnet(self, prior):
        image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
        encoded = EncodedImage(image, image, prior.encode_images(image[None])[0], 'a')
        layout_pass = LayoutPass(prior, G4SegSettings(), NAMES)
        layout = layout_pass.place(0, encoded, coarse.label_map, [0, 1])
        assert layout.regions is None
        assert layout_pass.condition([layout], 400)[1].control_image is None


VARIANTS = [
    {},
    {'joint': True, 'mixing': 'residual'},
    {'update': 'likelihood', 'likelihood_timesteps': (100, 400), 'accept': True},
    {'inversion': 'direct', 'inversion_steps': 3, 'inversion_guidance': 2.0, 'injected_share': 0.7},
    {'inversion': 'null_text', 'inversion_steps': 2, 'inversion_inner_steps': 2},
]


@pytest.mark.parametrize('settings', VARIANTS, ids=str)
class TestRefining:
    @pytest.mark.parametrize('weights', [OFF, {}], ids=['in place of attention', 'beside attention'])
    def test_control_reaches_the_result(self, controlled, settings, weights):
        image, coarse = random_case()
        settings = {'confidence_range': (0.0, 0.95), **weights, **settings}
        refined = make(controlled, **settings).refine(image, coarse, NAMES)
        torch.testing.assert_close(refined.probs.sum(0), torch.ones(24, 40))
        assert torch.equal(make(controlled, **settings).refine(image, coarse, NAMES).probs, refined.probs)
        without = make(controlled, control_scale=0.0, **settings).refine(image, coarse, NAMES)
        assert not torch.equal(refined.probs, without.probs)

    def test_a_scale_of_0_is_a_prior_without(self, controlled, prior, settings):
        image, coarse = random_case()
        off = make(controlled, control_scale=0.0, **settings).refine(image, coarse, NAMES)
        assert torch.equal(off.probs, make(prior, **settings).refine(image, coarse, NAMES).probs)

    def test_same_for_any_batch_and_chunk(self, controlled, settings):
        cases = [random_case(seed=s, height=20 + 4 * s) for s in range(2)]
        alone = [
            make(controlled, **settings, passes_per_batch=1).refine(*case, NAMES, key=k) for k, case in enumerate(cases)
        ]
        together = make(controlled, **settings, passes_per_batch=3).refine_batch(
            [c[0] for c in cases], [c[1] for c in cases], NAMES
        )
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one.probs, other.probs, atol=1e-4, rtol=0)

    @pytest.mark.parametrize('size', [(1, 1), (7, 900)])
    def test_extreme_images(self, controlled, settings, size):
        image, coarse = random_case(*size)
        assert torch.isfinite(make(controlled, **settings).refine(image, coarse, NAMES).probs).all()


class TestWhatIsShown:
    def test_candidates_of_the_likelihood_update(self, controlled, seen):
        """Uncertain pixels are painted as each candidate in turn; as background they are black."""
        image = torch.rand(3, IMAGE_SIZE, IMAGE_SIZE)
        probs = torch.full((3, IMAGE_SIZE, IMAGE_SIZE), 0.02)
        probs[1, :, :16] = probs[2, :, 24:] = 0.96
        probs[1, :, 16:24], probs[2, :, 16:24], probs[0, :, 16:24] = 0.5, 0.3, 0.2
        probs = probs / probs.sum(0)
        settings = {'update': 'likelihood', 'likelihood_timesteps': (300,), 'background_index': 0, **OFF}
        make(controlled, **settings).refine(image, Prediction(probs, probs.argmax(0)), ['background', 'sky', 'grass'])
        (injection,) = with_control(seen)
        painted = (injection.control_image * 255).round().int()
        assert [tuple(c.tolist()) for c in painted[:, :, 0, 20]] == [SKY, GRASS, (0, 0, 0)]
        assert {tuple(c.tolist()) for c in painted[:, :, 0, 3]} == {SKY}
        assert {tuple(c.tolist()) for c in painted[:, :, 0, 30]} == {GRASS}

    def test_acceptance_shows_both_masks(self, controlled, seen):
        from mmseg_g4seg.refiners.g4seg.acceptance import Acceptance

        image = torch.rand(3, IMAGE_SIZE, IMAGE_SIZE)
        encoded = EncodedImage(image, image, controlled.encode_images(image[None])[0], 'a')
        before = torch.zeros(2, IMAGE_SIZE, IMAGE_SIZE)
        before[0, :, :8], before[1, :, 8:] = 1, 1
        after = Prediction(before.flip(0), before.flip(0).argmax(0))
        layout_pass = LayoutPass(controlled, G4SegSettings(likelihood_timesteps=(300,)), ['sky', 'grass'])
        Acceptance(layout_pass)([encoded], [Prediction(before, before.argmax(0))], [after])
        painted = (with_control(seen)[0].control_image * 255).round().int()
        assert [tuple(c.tolist()) for c in painted[:, :, 5, 5]] == [SKY, GRASS]
        assert [tuple(c.tolist()) for c in painted[:, :, 5, 20]] == [GRASS, SKY]

    def test_inversion_shows_it_in_its_share_of_the_steps(self, controlled, seen):
        settings = {'inversion': 'ddim', 'inversion_steps': 4, 'injected_share': 0.5, 'joint': True}
        make(controlled, **settings).reconstruct(*random_case(), NAMES)
        shown = [timestep for timestep, injection in seen if injection is not None]
        assert shown == [999, 749]
        assert all(injection.control_image is not None for injection in with_control(seen))

    def test_reconstruction_alone(self, controlled):
        image, coarse = random_case()
        on, off = (make(controlled, control_scale=s, **OFF).reconstruct(image, coarse, NAMES) for s in (1.0, 0.0))
        assert (on - off).abs().max() > 1e-4

    def test_the_palette_decides_for_classes_that_ade20k_lacks(self, controlled):
        image, coarse = random_case()
        palette = [[250, 10, 10], [10, 250, 10], [10, 10, 250], [250, 250, 10], [250, 10, 250]]
        names = ['dragon', 'griffin', 'unicorn', 'sphinx', 'centaur']
        makes = [make(controlled, control_palette=p, **OFF).reconstruct(image, coarse, names) for p in (palette, None)]
        assert (makes[0] - makes[1]).abs().max() > 1e-5

    def test_palette_of_another_length(self, controlled):
        with pytest.raises(ValueError, match='control_palette: expected 5 colours'):
            make(controlled, control_palette=[[0, 0, 0]]).refine(*random_case(), NAMES)


class TestBuilding:
    @pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
    def test_from_a_config(self, folders, dtype):
        config = dict(type='G4SegRefiner', prior=folders[0], controlnet=folders[1], image_size=32, dtype=dtype)
        refiner = build_refiner(dict(config, control_palette=[[i, i, i] for i in range(len(NAMES))], **OFF))
        assert refiner.prior.reads_control_image
        image, coarse = random_case()
        assert not torch.equal(refiner.refine(image, coarse, NAMES).probs, coarse.probs)

    def test_the_config_in_place_of_attention(self, folders):
        config = pytest.importorskip('mmengine.config')
        path = ROOT / 'configs/_base_/refiners/g4seg_controlnet.py'
        given = config.Config.fromfile(path).refiner
        assert given.prior == 'stable-diffusion-v1-5/stable-diffusion-v1-5'
        assert given.controlnet == 'lllyasviel/control_v11p_sd15_seg'
        given.update(prior=folders[0], controlnet=folders[1], image_size=32, dtype='float32', features='denoiser')
        refiner = build_refiner(given)
        assert refiner.prior.reads_control_image
        assert refiner.settings.cross_weight == refiner.settings.self_weight == 0
        assert refiner.settings.control_scale == 1

    def test_a_built_prior_takes_none(self, prior, folders):
        with pytest.raises(ValueError, match=r"\['controlnet'\]: expected a prior to load, got one that is built"):
            build_refiner(dict(type='G4SegRefiner', prior=prior, controlnet=folders[1]))

    @pytest.mark.parametrize(
        ('settings', 'message'),
        [
            ({'control_scale': -1.0}, 'control_scale: expected at least 0'),
            ({'control_palette': [[0, 0]]}, 'control_palette: expected colours'),
            ({'control_palette': [[0, 0, 256]]}, 'control_palette: expected colours'),
        ],
    )
    def test_bad_settings_come_before_the_prior(self, settings, message):
        with pytest.raises(ValueError, match=message):
            build_refiner(dict(type='G4SegRefiner', prior='nowhere', controlnet='nowhere', **settings))
