"""The paper's update, against the equations."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.diffusion.injection import Injection, MaskInjector, RegionLayout
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.denoiser import DenoiserFeatures
from mmseg_g4seg.ops.matching import match_features
from mmseg_g4seg.ops.noise import image_noise
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.reconstruction import NullTextInversion, OneStep
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.refiners.g4seg.making import make


class MeanColour(FeatureExtractor):
    """Average colour of 4 x 4 patches: features that a test can compute by hand."""

    reads_pixels = True

    def __call__(self, prior, latents, pixels=None):
        return F.avg_pool2d(pixels, 4) + torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)


def test_equals_the_method_step_by_step(prior):
    """One class, written out from the equations with no part of the refiner."""
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    only = Prediction(coarse.probs, torch.where(coarse.label_map == 3, 3, 255))
    update = CorrespondenceUpdate(beta=0.7, features=MeanColour())
    refined = make(prior, update=update, seed=5).refine(image, only, NAMES, key='x')

    z0 = prior.encode_images(image[None])
    alpha = prior.scheduler.alphas_cumprod[400]
    noisy = alpha.sqrt() * z0 + (1 - alpha).sqrt() * image_noise(z0.shape[1:], seed=5, key='x')
    prompts = prior.encode_prompts([['hot air balloon']], 'a photo of {name}')
    mask = F.avg_pool2d((only.label_map == 3).float()[None, None], 4)
    injection = Injection(RegionLayout(mask, prompts.token_masks), [MaskInjector(cross_weight=1.0, self_weight=0.3)])
    output = prior.denoise(noisy, 400, prompts, injection)
    reconstruction = prior.decode_latents((noisy - (1 - alpha).sqrt() * output) / alpha.sqrt())
    features = MeanColour()
    index, _ = match_features(features(prior, z0, reconstruction), features(prior, z0, image[None]))
    low = F.avg_pool2d(only.probs[3][None, None], 4).flatten()
    matched = F.interpolate(low[index[0]].view(1, 1, 8, 8), (IMAGE_SIZE, IMAGE_SIZE), mode='bilinear')[0, 0]
    old = only.probs[3]
    new = torch.where((old >= 0.2) & (old <= 0.6), 0.7 * old + 0.3 * matched, old)
    expected = torch.cat([only.probs[:3], new[None], only.probs[4:]])
    expected = expected / expected.sum(0)
    torch.testing.assert_close(refined.probs, expected, atol=1e-5, rtol=0)


def test_the_originals_features_are_taken_once(prior):
    sizes = []

    class Counting(DenoiserFeatures):
        def __call__(self, prior, latents, pixels=None):
            sizes.append(len(latents))
            return super().__call__(prior, latents, pixels)

    update = CorrespondenceUpdate(features=Counting())
    make(prior, update=update).refine(*random_case(), NAMES)
    assert sizes == [1, 5]


def test_nothing_is_decoded_for_features_of_latents(prior, monkeypatch):
    monkeypatch.setattr(type(prior), 'decode_latents', None)
    image, coarse = random_case()
    assert not torch.equal(make(prior).refine(image, coarse, NAMES).probs, coarse.probs)


class TestReconstruction:
    def test_injection_prompt_and_seed_reach_it(self, prior):
        image, coarse = random_case()
        base = make(prior, injection=MaskInjector(cross_weight=8.0, self_weight=8.0))
        expected = base.reconstruct(image, coarse, NAMES)
        for other in (
            {'injection': MaskInjector(cross_weight=0.0, self_weight=8.0)},
            {'injection': MaskInjector(cross_weight=8.0, self_weight=0.0)},
            {'prompt_template': 'the {name}'},
            {'seed': 1},
        ):
            options = {'injection': base.injectors, **other}
            assert not torch.allclose(make(prior, **options).reconstruct(image, coarse, NAMES), expected, atol=1e-6)

    def test_key_decides_the_noise(self, prior):
        image, coarse = random_case()
        refiner = make(prior)
        assert not torch.equal(
            refiner.reconstruct(image, coarse, NAMES, key='a'), refiner.reconstruct(image, coarse, NAMES, key='b')
        )

    def test_the_updates_own_unless_another_is_asked_for(self, prior):
        image, coarse = random_case()
        early = make(prior, update=CorrespondenceUpdate(reconstruction=OneStep(timestep=100)))
        own, other = (early.reconstruct(image, coarse, NAMES, reconstruction=r) for r in (None, OneStep(timestep=600)))
        assert not torch.allclose(own, other, atol=1e-4)
        late = make(prior, update=CorrespondenceUpdate(reconstruction=OneStep(timestep=600)))
        assert torch.equal(late.reconstruct(image, coarse, NAMES), other)

    def test_null_text_brings_the_image_back(self):
        """Nothing injected, and a prior that was trained: what inversion gives is nearer than what one step gives."""
        generator = torch.Generator().manual_seed(0)
        image = F.interpolate(torch.rand(1, 3, 4, 4, generator=generator), (64, 64), mode='bilinear')[0]
        coarse = random_case(64, 64)[1]

        def error(reconstruction) -> float:
            update = CorrespondenceUpdate(reconstruction=reconstruction)
            refiner = G4SegRefiner('tiny', image_size=64, injection=[], update=update)
            expected = refiner.prior.decode_latents(refiner.prior.encode_images(image[None]))[0]
            return float((refiner.reconstruct(image, coarse, NAMES) - expected).abs().mean())

        assert error(NullTextInversion(steps=10, guidance=3.0, inner_steps=5)) < 0.6 * error(OneStep())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'beta': 1.2}, r'beta: expected a number in \[0, 1\], got 1.2'),
        ({'confidence_range': (0.6, 0.2)}, 'confidence_range'),
        ({'beta': '0.8'}, "beta: expected a number in .*, got '0.8'"),
        ({'confidence_range': 0.5}, 'confidence_range: expected two probabilities, low <= high, got 0.5'),
        ({'confidence_range': (0.1, '0.6')}, 'confidence_range: expected two probabilities'),
        ({'joint': 'no'}, "joint: expected True or False, got 'no'"),
        ({'temperature': -1.0}, 'temperature'),
        ({'upsampling': 'nearest'}, 'upsampling'),
        (
            {'reconstruction': DenoiserFeatures()},
            'reconstruction: expected a part of .*, got a DenoiserFeatures',
        ),
        ({'features': OneStep()}, 'features: expected a part of .*, got a OneStep'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        CorrespondenceUpdate(**options)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'steps': 0}, 'steps: expected an integer of at least 1'),
        ({'steps': 2.5}, 'steps: expected an integer of at least 1, got 2.5'),
        ({'inner_steps': 0}, 'inner_steps: expected an integer of at least 1'),
        ({'guidance': float('nan')}, 'guidance: expected a finite number'),
        ({'guidance': '7.5'}, "guidance: expected a finite number of at least 0, got '7.5'"),
    ],
)
def test_inversions_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        NullTextInversion(**options)


@pytest.mark.parametrize(
    ('update', 'message'),
    [
        (CorrespondenceUpdate(reconstruction=OneStep(timestep=1000)), 'timestep: expected 0 to 999, got 1000'),
        (CorrespondenceUpdate(reconstruction=NullTextInversion(steps=2000)), 'steps: expected at most 1000, got 2000'),
        (CorrespondenceUpdate(features=DenoiserFeatures(block=9)), 'block: this denoiser has 0 to 2'),
        (CorrespondenceUpdate(features=DenoiserFeatures(timestep=-1)), 'timestep: expected 0 to 999, got -1'),
    ],
)
def test_what_the_prior_lacks_is_said_before_any_work(prior, update, message):
    with pytest.raises(ValueError, match=message):
        make(prior, update=update)


@pytest.mark.parametrize('timestep', [400.5, '400', True])
def test_timesteps_are_integers(timestep):
    with pytest.raises(ValueError, match='timestep: expected an integer, got'):
        OneStep(timestep=timestep)
    with pytest.raises(ValueError, match='timestep: expected an integer, got'):
        DenoiserFeatures(timestep=timestep)
