import math

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.denoiser import DenoiserFeatures
from mmseg_g4seg.ops.matching import match_features
from mmseg_g4seg.ops.noise import image_noise
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.acceptance import Acceptance
from mmseg_g4seg.refiners.g4seg.layouts import EncodedImage, LayoutPass
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.settings import G4SegSettings
from mmseg_g4seg.refiners.g4seg.updates.noise_errors import average_windows
from tests.conftest import IMAGE_SIZE, NAMES, random_case

VARIANTS = [
    {},
    {'joint': True},
    {'mixing': 'residual'},
    {'injection_rule': 'dense_diffusion'},
    {'update': 'likelihood', 'likelihood_timesteps': (100, 400)},
    {'iterations': 2},
    {'match_temperature': 0.1, 'match_radius': 0.5, 'upsampling': 'guided'},
    {'match_mutual': True, 'correspondence_draws': 2, 'mixing': 'residual'},
    {
        'update': 'likelihood',
        'likelihood_timesteps': (300,),
        'likelihood_smoothing': (1, 5),
        'candidate_threshold': 0.05,
        'upsampling': 'guided',
        'joint': True,
        'likelihood_bound': 0.4,
    },
    {'update': 'likelihood', 'likelihood_timesteps': (300,), 'accept': True},
    {'update': 'likelihood', 'likelihood_timesteps': (300,), 'likelihood_crops': 2, 'upsampling': 'guided'},
    {
        'update': 'likelihood',
        'likelihood_timesteps': (300,),
        'likelihood_proportions': True,
        'known_classes': NAMES[1:4],
    },
    {'inversion': 'direct', 'inversion_steps': 3, 'inversion_guidance': 2.0},
    {'inversion': 'null_text', 'inversion_steps': 2, 'inversion_inner_steps': 2},
    {'inversion': 'negative_prompt', 'inversion_steps': 3, 'injected_share': 0.5, 'joint': True},
]


def make(prior, **settings) -> G4SegRefiner:
    return G4SegRefiner(prior, settings=G4SegSettings(**{'image_size': IMAGE_SIZE, **settings}))


@pytest.mark.parametrize('settings', VARIANTS, ids=str)
class TestEveryVariant:
    def test_output(self, prior, settings):
        image, coarse = random_case()
        before = coarse.probs.clone()
        refined = make(prior, **settings).refine(image, coarse, NAMES)
        assert torch.equal(coarse.probs, before), 'the input must not change'
        assert refined.probs.dtype == torch.float32
        assert refined.probs.shape == coarse.probs.shape
        assert refined.label_map.dtype == torch.int64
        assert not torch.equal(refined.probs, coarse.probs), 'the refiner did nothing'
        torch.testing.assert_close(refined.probs.sum(0), torch.ones(24, 40))
        changed = (refined.probs != coarse.probs).any(0)
        assert torch.equal(refined.label_map[changed], refined.probs.argmax(0)[changed])
        assert torch.equal(refined.label_map[~changed], coarse.label_map[~changed])

    def test_identical_from_run_to_run(self, prior, settings):
        image, coarse = random_case()
        first = make(prior, **settings).refine(image, coarse, NAMES)
        torch.manual_seed(99)
        second = make(prior, **settings).refine(image, coarse, NAMES)
        assert torch.equal(first.probs, second.probs)
        assert torch.equal(first.label_map, second.label_map)

    def test_same_for_any_batch_chunk_and_order(self, prior, settings):
        cases = [random_case(seed=s, height=20 + 4 * s) for s in range(3)]
        images, coarse = [c[0] for c in cases], [c[1] for c in cases]
        keys = ['a', 'b', 'c']
        alone = [
            make(prior, **settings, passes_per_batch=1).refine(i, p, NAMES, key=k)
            for i, p, k in zip(images, coarse, keys, strict=True)
        ]
        for chunk in (2, 3, 100):
            together = make(prior, **settings, passes_per_batch=chunk).refine_batch(
                images[::-1], coarse[::-1], NAMES, keys=keys[::-1]
            )[::-1]
            for one, other in zip(alone, together, strict=True):
                torch.testing.assert_close(one.probs, other.probs, atol=1e-4, rtol=0)

    def test_nothing_to_refine(self, prior, settings):
        image, coarse = random_case()
        for label in (255, -1, len(NAMES)):
            ignored = Prediction(coarse.probs, torch.full_like(coarse.label_map, label))
            refined = make(prior, **settings).refine(image, ignored, NAMES)
            assert torch.equal(refined.probs, ignored.probs)
            assert torch.equal(refined.label_map, ignored.label_map)

    def test_one_class_only(self, prior, settings):
        image, coarse = random_case()
        alone = Prediction(coarse.probs, torch.full_like(coarse.label_map, 3))
        refined = make(prior, **settings).refine(image, alone, NAMES)
        assert torch.isfinite(refined.probs).all()

    @pytest.mark.parametrize('size', [(1, 1), (7, 2000)])
    def test_extreme_images(self, prior, settings, size):
        image, coarse = random_case(*size)
        refined = make(prior, **settings).refine(image, coarse, NAMES)
        assert refined.probs.shape == (len(NAMES), *size)
        assert torch.isfinite(refined.probs).all()

    def test_certain_predictions_stay(self, prior, settings):
        image, coarse = random_case()
        certain = Prediction(F.one_hot(coarse.label_map, len(NAMES)).permute(2, 0, 1).float(), coarse.label_map)
        refined = make(prior, **settings).refine(image, certain, NAMES)
        assert torch.equal(refined.probs, certain.probs)


class MeanColour(FeatureExtractor):
    """Average colour of 4 x 4 patches: features that a test can compute by hand."""

    reads_pixels = True

    def __call__(self, latents, pixels=None):
        return F.avg_pool2d(pixels, 4) + torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)


def test_equals_the_method_step_by_step(prior):
    """One class, written out from the equations with no part of the refiner."""
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    only = Prediction(coarse.probs, torch.where(coarse.label_map == 3, 3, 255))
    refined = G4SegRefiner(
        prior, features=MeanColour(), settings=G4SegSettings(image_size=IMAGE_SIZE, beta=0.7, seed=5)
    ).refine(image, only, NAMES, key='x')

    z0 = prior.encode_images(image[None])
    alpha = prior.scheduler.alphas_cumprod[400]
    noisy = alpha.sqrt() * z0 + (1 - alpha).sqrt() * image_noise(z0.shape[1:], seed=5, key='x')
    from mmseg_g4seg.diffusion.injection.attention import MaskInjection

    prompts = prior.encode_prompts([['hot air balloon']], 'a photo of {name}')
    mask = F.avg_pool2d((only.label_map == 3).float()[None, None], 4)
    output = prior.denoise(noisy, 400, prompts, MaskInjection(mask, prompts.token_masks, 1.0, 0.3))
    reconstruction = prior.decode_latents((noisy - (1 - alpha).sqrt() * output) / alpha.sqrt())
    index, _ = match_features(MeanColour()(z0, reconstruction), MeanColour()(z0, image[None]))
    low = F.avg_pool2d(only.probs[3][None, None], 4).flatten()
    matched = F.interpolate(low[index[0]].view(1, 1, 8, 8), (IMAGE_SIZE, IMAGE_SIZE), mode='bilinear')[0, 0]
    old = only.probs[3]
    new = torch.where((old >= 0.2) & (old <= 0.6), 0.7 * old + 0.3 * matched, old)
    expected = torch.cat([only.probs[:3], new[None], only.probs[4:]])
    expected = expected / expected.sum(0)
    torch.testing.assert_close(refined.probs, expected, atol=1e-5, rtol=0)


class FixedError:
    """A prior whose denoiser errs by a given amount wherever no region is injected, else not at all."""

    def __init__(self, prior, error):
        self.prior, self.error = prior, error

    def __getattr__(self, name):
        return getattr(self.prior, name)

    def add_noise(self, latents, noise, timestep):
        self.noise = noise
        return latents

    def denoise(self, noisy, timestep, prompts, injection=None):
        return self.noise + self.error * (1 - injection.region_masks.sum(1, keepdim=True))


class TestLikelihood:
    """The update by hand: one class and background, an error that is known everywhere."""

    @pytest.mark.parametrize('error', [0.0, 0.1, 0.3])
    def test_posterior(self, prior, error):
        image = torch.rand(3, IMAGE_SIZE, IMAGE_SIZE)
        probs = torch.full((2, IMAGE_SIZE, IMAGE_SIZE), 0.5)
        probs[1, :, :16], probs[0, :, :16] = 0.9, 0.1
        probs[1, :, 16:], probs[0, :, 16:] = 0.4, 0.6
        settings = G4SegSettings(
            image_size=IMAGE_SIZE,
            update='likelihood',
            background_index=0,
            confidence_range=(0.2, 0.8),
            likelihood_timesteps=(100, 300),
            likelihood_sharpness=20.0,
            likelihood_smoothing=1,
        )
        refiner = G4SegRefiner(prior, settings=settings)
        refiner.prior = FixedError(prior, error)
        refined = refiner.refine(image, Prediction(probs, probs.argmax(0)), ['background', 'fish'])
        assert torch.equal(refined.probs[..., :12], probs[..., :12]), 'certain pixels stay'
        weight = 0.6 * torch.exp(torch.tensor(-20.0 * error**2))
        expected = 0.4 / (0.4 + weight)
        torch.testing.assert_close(refined.probs[1, :, 20:], expected.expand(IMAGE_SIZE, 12))
        assert (refined.label_map[:, 20:] == int(expected > 0.5)).all()

    @pytest.mark.parametrize('error', [0.01, 0.1, 3.0])
    def test_bound(self, prior, error):
        """However far off the prior is, the odds of two classes change by exp(2 * bound) at most."""
        probs = torch.full((2, IMAGE_SIZE, IMAGE_SIZE), 0.45)
        probs[0] = 0.55
        coarse = Prediction(probs, probs.argmax(0))
        coarse.label_map[:2] = 1  # some fish, that there is a class to refine
        refiner = make(
            prior,
            update='likelihood',
            background_index=0,
            likelihood_timesteps=(300,),
            likelihood_sharpness=20.0,
            likelihood_bound=0.4,
        )
        refiner.prior = FixedError(prior, error)
        refined = refiner.refine(torch.rand(3, IMAGE_SIZE, IMAGE_SIZE), coarse, NAMES[:2]).probs
        log_odds = math.log(0.45 / 0.55) + 0.8 * math.tanh(20 * error**2 / 2 / 0.4)
        expected = torch.full((IMAGE_SIZE, IMAGE_SIZE), 1 / (1 + math.exp(-log_odds)))
        torch.testing.assert_close(refined[1], expected, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize('crops', [2, 3])
    def test_views_that_say_the_same(self, prior, crops):
        probs = torch.full((2, IMAGE_SIZE, IMAGE_SIZE), 0.45)
        probs[0] = 0.55
        coarse = Prediction(probs, probs.argmax(0))
        coarse.label_map[:, :2] = 1

        def refined(crops: int) -> torch.Tensor:
            settings = {'likelihood_timesteps': (300,), 'likelihood_crops': crops, 'background_index': 0}
            refiner = make(prior, update='likelihood', **settings)
            refiner.prior = FixedError(prior, 0.3)
            return refiner.refine(torch.rand(3, IMAGE_SIZE, IMAGE_SIZE), coarse, NAMES[:2]).probs

        torch.testing.assert_close(refined(crops), refined(1))

    def test_views_see_other_noise_and_other_crops(self, prior):
        image, coarse = random_case()

        def refined(crops: int) -> torch.Tensor:
            settings = {'update': 'likelihood', 'likelihood_timesteps': (300,), 'likelihood_crops': crops}
            return make(prior, **settings).refine(image, coarse, NAMES).probs

        assert not torch.allclose(refined(2), refined(1), atol=1e-5)

    def test_implausible_classes_are_not_considered(self, prior):
        image, coarse = random_case()
        settings = {'update': 'likelihood', 'likelihood_timesteps': (300,), 'confidence_range': (0.0, 1.0)}
        every = make(prior, **settings).refine(image, coarse, NAMES)
        few = make(prior, candidate_threshold=0.25, **settings).refine(image, coarse, NAMES)
        implausible = coarse.probs < 0.25
        alone = (~implausible).sum(0) == 1
        torch.testing.assert_close(few.probs[:, alone], coarse.probs[:, alone])
        torch.testing.assert_close(few.probs[implausible], coarse.probs[implausible])
        assert not torch.allclose(every.probs[implausible], coarse.probs[implausible], atol=1e-3)
        assert not torch.allclose(few.probs, coarse.probs, atol=1e-3)

    def test_proportions_grow_with_what_is_found(self, prior):
        image, coarse = random_case()

        def mean(**settings) -> torch.Tensor:
            refiner = make(prior, update='likelihood', likelihood_timesteps=(300,), **settings)
            return refiner.refine(image, coarse, NAMES).probs.mean((1, 2))

        before, found, shifted = coarse.probs.mean((1, 2)), mean(), mean(likelihood_proportions=True)
        grew = found > before
        assert grew.any()
        assert not grew.all()
        most, least = (found / before).argmax(), (found / before).argmin()
        assert shifted[most] > found[most]
        assert shifted[least] < found[least]

    def test_each_iteration_draws_new_noise(self, prior, monkeypatch):
        drawn = []

        def record(shape, *, seed, key, draw):
            drawn.append(key)
            return image_noise(shape, seed=seed, key=key, draw=draw)

        monkeypatch.setattr('mmseg_g4seg.refiners.g4seg.layouts.image_noise', record)
        settings = dict(update='likelihood', likelihood_timesteps=(300,), passes_per_batch=64, confidence_range=(0, 1))
        make(prior, **settings).refine(*random_case(), NAMES, key='a')
        assert drawn == ['a@300']
        make(prior, iterations=3, **settings).refine(*random_case(), NAMES, key='a')
        assert len(set(drawn)) == 3
        assert drawn[:2] == ['a@300'] * 2, 'the first as without repetition'

    def test_windows_of_several_sides(self):
        errors = torch.rand(2, 9, 11)
        averaged = average_windows(errors, (1, 5))
        torch.testing.assert_close(averaged[:, 4, 5], (errors[:, 4, 5] + errors[:, 2:7, 3:8].mean((1, 2))) / 2)
        torch.testing.assert_close(averaged[:, 0, 0], (errors[:, 0, 0] + errors[:, :3, :3].mean((1, 2))) / 2)


class TestKnownClasses:
    @pytest.mark.parametrize('update', ['likelihood', 'correspondence'])
    @pytest.mark.parametrize('accept', [False, True])
    def test_only_they_are_named_to_the_prior(self, prior, monkeypatch, update, accept):
        image, coarse = random_case()
        named = set()
        encode = prior.encode_prompts

        def record(prompts, *args):
            named.update(name for prompt in prompts for name in prompt)
            return encode(prompts, *args)

        monkeypatch.setattr(prior, 'encode_prompts', record)
        known = [NAMES[0], NAMES[3], 'a class of other data']
        make(prior, update=update, accept=accept, known_classes=known).refine(image, coarse, NAMES)
        assert named & set(NAMES) == {NAMES[0], NAMES[3]}

    def test_others_keep_their_probabilities_and_their_total(self, prior):
        image, coarse = random_case()
        settings = {'update': 'likelihood', 'likelihood_timesteps': (300,), 'known_classes': [NAMES[0], NAMES[3]]}
        refined = make(prior, **settings).refine(image, coarse, NAMES)
        torch.testing.assert_close(refined.probs[[1, 2, 4]], coarse.probs[[1, 2, 4]])
        assert not torch.allclose(refined.probs[[0, 3]], coarse.probs[[0, 3]], atol=1e-3)

    def test_a_mask_without_any_stays(self, prior):
        image, coarse = random_case()
        coarse = Prediction(coarse.probs, torch.ones_like(coarse.label_map))
        refined = make(prior, known_classes=[NAMES[0]]).refine(image, coarse, NAMES)
        assert torch.equal(refined.probs, coarse.probs)
        assert torch.equal(refined.label_map, coarse.label_map)

    def test_synonyms(self, prior):
        image, coarse = random_case()
        names = [('heaven', NAMES[0]), *NAMES[1:]]
        known = make(prior, known_classes=[f' {NAMES[0]}']).refine(image, coarse, names)
        assert torch.equal(known.probs, make(prior, known_classes=['heaven']).refine(image, coarse, names).probs)

    @pytest.mark.parametrize('known', [None, ['sky']])
    def test_an_empty_name_after_known_ones(self, prior, known):
        with pytest.raises(ValueError, match='class name: expected non-empty text'):
            make(prior, known_classes=known).refine(*random_case(), [*NAMES[:-1], ' '])

    def test_none_of_the_data(self, prior):
        with pytest.raises(ValueError, match=r"known_classes: expected some of \['sky', .*got \['roof'\]"):
            make(prior, known_classes=['roof']).refine(*random_case(), NAMES)


class TestAcceptance:
    """A prior that errs outside every region: masks that grow are more likely, masks that shrink less."""

    def accept(self, prior, before, after):
        layout_pass = LayoutPass(FixedError(prior, 0.5), G4SegSettings(background_index=0), ['background', 'fish'])
        image = torch.rand(3, IMAGE_SIZE, IMAGE_SIZE)
        encoded = EncodedImage(image, image, prior.encode_images(image[None])[0], 'a')
        return Acceptance(layout_pass)([encoded], [before], [after])[0]

    @staticmethod
    def fish(columns):
        probs = torch.full((2, IMAGE_SIZE, IMAGE_SIZE), 0.3)
        probs[1, :, :columns] = 0.7
        probs[0] = 1 - probs[1]
        return Prediction(probs, probs.argmax(0))

    def test_growth_is_kept(self, prior):
        kept = self.accept(prior, self.fish(8), self.fish(16))
        assert torch.equal(kept.label_map, self.fish(16).label_map)
        assert torch.equal(kept.probs, self.fish(16).probs)

    def test_loss_is_taken_back(self, prior):
        kept = self.accept(prior, self.fish(16), self.fish(8))
        assert torch.equal(kept.label_map, self.fish(16).label_map)
        assert torch.equal(kept.probs, self.fish(16).probs)

    def test_nothing_changed(self, prior):
        same = self.fish(8)
        assert self.accept(prior, same, same) is same


class TestSettings:
    def test_background_is_never_refined(self, prior):
        image, coarse = random_case()
        background = Prediction(coarse.probs, torch.zeros_like(coarse.label_map))
        refined = make(prior, background_index=0).refine(image, background, NAMES)
        assert torch.equal(refined.probs, background.probs)

    def test_background_threshold_decides(self, prior):
        image, coarse = random_case()
        threshold = 0.9
        refined = make(prior, background_index=0, background_threshold=threshold).refine(image, coarse, NAMES)
        changed = (refined.probs != coarse.probs).any(0)
        low = changed & (refined.probs[1:].amax(0) < threshold)
        assert low.any()
        assert (refined.label_map[low] == 0).all()

    def test_small_classes_are_left_out(self, prior):
        image, coarse = random_case()
        assert torch.equal(make(prior, min_area=1.0).refine(image, coarse, NAMES).probs, coarse.probs)

    def test_injection_and_prompt_reach_the_result(self, prior):
        image, coarse = random_case()
        base = make(prior, cross_weight=8.0, self_weight=8.0).reconstruct(image, coarse, NAMES)
        for other in ({'cross_weight': 0.0}, {'self_weight': 0.0}, {'prompt_template': 'the {name}'}, {'seed': 1}):
            settings = {'cross_weight': 8.0, 'self_weight': 8.0, **other}
            assert not torch.allclose(make(prior, **settings).reconstruct(image, coarse, NAMES), base, atol=1e-6)

    def test_key_decides_the_noise(self, prior):
        image, coarse = random_case()
        refiner = make(prior)
        assert not torch.equal(
            refiner.reconstruct(image, coarse, NAMES, key='a'), refiner.reconstruct(image, coarse, NAMES, key='b')
        )

    def test_synonyms_and_names_of_many_tokens(self, prior):
        image, coarse = random_case()
        names = ['sky', ('wall', 'bricks'), 'qwxjv', 'hot air balloon', 'fish']
        assert torch.isfinite(make(prior, class_names=names).refine(image, coarse, NAMES).probs).all()

    @pytest.mark.parametrize(
        ('settings', 'message'),
        [
            ({'beta': 1.2}, 'beta'),
            ({'confidence_range': (0.6, 0.2)}, 'confidence_range'),
            ({'injection_rule': 'other'}, 'injection_rule'),
            ({'update': 'other'}, 'update'),
            ({'iterations': 0}, 'iterations'),
            ({'background_threshold': 0.3}, 'background_index'),
            ({'class_names': ['sky', '']}, 'non-empty'),
            ({'likelihood_smoothing': (3, 4)}, 'likelihood_smoothing'),
            ({'likelihood_smoothing': ()}, 'likelihood_smoothing'),
            ({'likelihood_crops': 0}, 'likelihood_crops'),
            ({'likelihood_crops': 1.5}, 'likelihood_crops'),
            ({'likelihood_crops': 3, 'likelihood_crop_side': 0.3}, 'likelihood_crop_side: .* 1 / likelihood_crops'),
            ({'likelihood_crop_side': 1.2}, 'likelihood_crop_side'),
            ({'known_classes': 'road'}, 'known_classes'),
            ({'known_classes': []}, 'known_classes'),
            ({'known_classes': ['road', ' ']}, 'non-empty'),
            ({'likelihood_bound': 0}, 'likelihood_bound'),
            ({'likelihood_bound': '0.4'}, 'likelihood_bound'),
            ({'candidate_threshold': -0.1}, 'candidate_threshold'),
            ({'match_temperature': -1.0}, 'match_temperature'),
            ({'match_radius': 0.0}, 'match_radius'),
            ({'upsampling': 'nearest'}, 'upsampling'),
            ({'correspondence_draws': 0}, 'correspondence_draws'),
            ({'prompt_template': 'a photo'}, 'prompt_template'),
        ],
    )
    def test_bad_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            G4SegSettings(**settings)

    def test_sizes_and_timesteps_that_the_prior_lacks(self, prior):
        with pytest.raises(ValueError, match='multiples of 16'):
            make(prior, image_size=30)
        with pytest.raises(ValueError, match='timestep'):
            make(prior, timestep=1000)


class TestBadInput:
    def check(self, prior, message, image=None, probs=None, label_map=None, names=NAMES, **options):
        good_image, good = random_case()
        prediction = Prediction(
            good.probs if probs is None else probs, good.label_map if label_map is None else label_map
        )
        with pytest.raises(ValueError, match=message):
            make(prior).refine_batch([good_image if image is None else image], [prediction], names, **options)

    def test_nan_scores(self, prior):
        probs = random_case()[1].probs.clone()
        probs[0, 0, 0] = float('nan')
        self.check(prior, 'image 0: expected finite probs, got 1', probs=probs)

    def test_logits(self, prior):
        self.check(prior, r'probs in \[0, 1\]', probs=random_case()[1].probs * 9 - 4)

    def test_pixels_out_of_range(self, prior):
        self.check(prior, r'pixels in \[0, 1\]', image=random_case()[0] * 255)

    def test_grey_image(self, prior):
        self.check(prior, r'\(3, H, W\)', image=torch.rand(1, 24, 40))

    def test_sizes_that_differ(self, prior):
        self.check(prior, r'probs \(5, 20, 40\)', image=torch.rand(3, 20, 40))

    def test_number_of_names(self, prior):
        self.check(prior, r'probs \(2, 24, 40\) for 2 class names', names=['sky', 'fish'])

    def test_float_labels(self, prior):
        self.check(prior, 'integer label_map', label_map=torch.zeros(24, 40))

    def test_empty_name(self, prior):
        self.check(prior, 'non-empty', names=['sky', '', 'grass', 'a', 'b'])

    def test_number_of_keys(self, prior):
        self.check(prior, 'one key an image', keys=['a', 'b'])


class TestMemory:
    """A model in whose memory two passes fit."""

    @pytest.fixture
    def small_memory(self, prior, monkeypatch):
        own = type(prior).denoise

        def denoise(self, noisy, *args, **kwargs):
            if len(noisy) > 2:
                raise torch.cuda.OutOfMemoryError('CUDA out of memory')
            return own(self, noisy, *args, **kwargs)

        monkeypatch.setattr(type(prior), 'denoise', denoise)

    @pytest.mark.parametrize('settings', [{}, {'update': 'likelihood', 'likelihood_timesteps': (300,), 'accept': True}])
    def test_goes_on_in_smaller_batches(self, prior, small_memory, settings):
        image, coarse = random_case()
        expected = make(prior, **settings, passes_per_batch=2).refine(image, coarse, NAMES)
        refiner = make(prior, **settings, passes_per_batch=16)
        with pytest.warns(UserWarning, match='passes at once do not fit') as caught:
            refined = refiner.refine(image, coarse, NAMES)
        assert len(caught) == 1
        torch.testing.assert_close(refined.probs, expected.probs, atol=1e-5, rtol=1e-4)

    def test_an_image_that_does_not_fit(self, prior, monkeypatch):
        def encode(self, images):
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')

        monkeypatch.setattr(type(prior), 'encode_images', encode)
        with pytest.raises(MemoryError, match='expected a smaller image_size'):
            make(prior).refine(*random_case(), NAMES)

    def test_a_budget_out_of_range(self):
        with pytest.raises(ValueError, match='memory_budget: expected GiB above 0'):
            G4SegSettings(memory_budget=0)


class TestInversion:
    def test_more_steps_than_timesteps(self, prior):
        with pytest.raises(ValueError, match='inversion_steps: expected at most 1000, got 2000'):
            make(prior, inversion='direct', inversion_steps=2000)

    def test_the_originals_features_are_taken_once(self, prior):
        sizes = []

        class Counting(DenoiserFeatures):
            def __call__(self, latents, pixels=None):
                sizes.append(len(latents))
                return super().__call__(latents, pixels)

        settings = G4SegSettings(image_size=IMAGE_SIZE, iterations=3)
        G4SegRefiner(prior, features=Counting(prior), settings=settings).refine(*random_case(), NAMES)
        assert sizes == [1, 5, 5, 5]

    def test_without_a_mask_the_image_comes_back(self, prior):
        """Direct inversion with weights of 0: the reconstruction is what the autoencoder makes of the image."""
        image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
        refiner = make(prior, inversion='direct', inversion_steps=2, cross_weight=0.0, self_weight=0.0)
        expected = prior.decode_latents(prior.encode_images(image[None]))[0]
        torch.testing.assert_close(refiner.reconstruct(image, coarse, NAMES), expected, atol=1e-3, rtol=1e-3)

    @pytest.mark.parametrize(
        ('settings', 'message'),
        [
            (dict(inversion='magic'), "inversion: expected one of .*'null_text'"),
            (dict(inversion='direct', update='likelihood'), 'which inversion serves'),
            (dict(inversion='direct', correspondence_draws=2), 'draws no noise'),
            (dict(inversion_steps=0), 'inversion_steps'),
            (dict(inversion_guidance=float('nan')), 'inversion_guidance: expected a finite number'),
            (dict(inversion_guidance='7.5'), "inversion_guidance: expected a finite number, got '7.5'"),
            (dict(timestep=400.5), 'timestep: expected an integer, got 400.5'),
            (dict(image_size=32.0), r'image_size: expected an integer, or \(height, width\), got 32.0'),
            (dict(image_size='32'), 'image_size: expected an integer'),
            (dict(image_size=(32,)), 'image_size: expected an integer'),
            (dict(passes_per_batch=2.5), 'passes_per_batch: expected an integer, or None'),
            (dict(memory_budget='8'), 'memory_budget: expected a number, or None'),
            (dict(injected_share=2.0), 'injected_share'),
        ],
    )
    def test_settings_out_of_range(self, settings, message):
        with pytest.raises(ValueError, match=message):
            G4SegSettings(**settings)
