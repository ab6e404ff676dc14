"""The likelihood update by hand: one class and background, an error that is known everywhere."""

import math

import pytest
import torch

from mmseg_g4seg.diffusion.prediction import noise_target, predict_x0
from mmseg_g4seg.ops.noise import image_noise
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.g4seg.updates import LikelihoodUpdate
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.refiners.g4seg.making import FixedError, asking, make

SEA = ['background', 'fish']


@pytest.mark.parametrize('error', [0.0, 0.1, 0.3])
def test_posterior(prior, error):
    image = torch.rand(3, IMAGE_SIZE, IMAGE_SIZE)
    probs = torch.full((2, IMAGE_SIZE, IMAGE_SIZE), 0.5)
    probs[1, :, :16], probs[0, :, :16] = 0.9, 0.1
    probs[1, :, 16:], probs[0, :, 16:] = 0.4, 0.6
    refiner = asking(prior, uncertain_below=0.8, timesteps=(100, 300), sharpness=20.0, smoothing=1)
    refiner.prior = FixedError(prior, error)
    refined = refiner.refine(image, Prediction(probs, probs.argmax(0)), SEA)
    assert torch.equal(refined.probs[..., :12], probs[..., :12]), 'certain pixels stay'
    weight = 0.6 * torch.exp(torch.tensor(-20.0 * error**2))
    expected = 0.4 / (0.4 + weight)
    torch.testing.assert_close(refined.probs[1, :, 20:], expected.expand(IMAGE_SIZE, 12))
    assert (refined.label_map[:, 20:] == int(expected > 0.5)).all()


def nearly_even(columns=slice(None), rows=slice(None)) -> Prediction:
    """Sea everywhere, just; some fish, so that there is a class to refine."""
    probs = torch.full((2, IMAGE_SIZE, IMAGE_SIZE), 0.45)
    probs[0] = 0.55
    coarse = Prediction(probs, probs.argmax(0))
    coarse.label_map[rows, columns] = 1
    return coarse


@pytest.mark.parametrize('error', [0.01, 0.1, 3.0])
def test_bound(prior, error):
    """However far off the prior is, the odds of two classes change by exp(2 * bound) at most."""
    refiner = asking(prior, sharpness=20.0, bound=0.4)
    refiner.prior = FixedError(prior, error)
    refined = refiner.refine(torch.rand(3, IMAGE_SIZE, IMAGE_SIZE), nearly_even(rows=slice(2)), SEA).probs
    log_odds = math.log(0.45 / 0.55) + 0.8 * math.tanh(20 * error**2 / 2 / 0.4)
    expected = torch.full((IMAGE_SIZE, IMAGE_SIZE), 1 / (1 + math.exp(-log_odds)))
    torch.testing.assert_close(refined[1], expected, atol=1e-4, rtol=1e-4)


class Speaks:
    """A prior that knows what another one knows, and says it in other units."""

    def __init__(self, prior, prediction_type):
        self.prior, self.prediction_type = prior, prediction_type

    def __getattr__(self, name):
        return getattr(self.prior, name)

    def denoise(self, noisy, timestep, prompts, injection=None):
        alpha, noise = self.alpha_cumprod(timestep), self.prior.denoise(noisy, timestep, prompts, injection)
        clean = predict_x0(noise, noisy, alpha, 'epsilon')
        return noise_target(clean, noise, alpha, self.prediction_type)


@pytest.mark.parametrize('kind', ['v_prediction', 'sample'])
def test_what_a_prior_predicts_does_not_count(prior, kind):
    image, coarse = random_case()
    refiner = asking(prior, timesteps=(100, 600))
    expected = refiner.refine(image, coarse, NAMES).probs
    refiner.prior = Speaks(prior, kind)
    torch.testing.assert_close(refiner.refine(image, coarse, NAMES).probs, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize('crops', [2, 3])
def test_views_that_say_the_same(prior, crops):
    def refined(crops: int) -> torch.Tensor:
        refiner = asking(prior, crops=crops)
        refiner.prior = FixedError(prior, 0.3)
        return refiner.refine(torch.rand(3, IMAGE_SIZE, IMAGE_SIZE), nearly_even(columns=slice(2)), SEA).probs

    torch.testing.assert_close(refined(crops), refined(1))


def test_views_see_other_noise_and_other_crops(prior):
    image, coarse = random_case()

    def refined(crops: int) -> torch.Tensor:
        return asking(prior, crops=crops).refine(image, coarse, NAMES).probs

    assert not torch.allclose(refined(2), refined(1), atol=1e-5)


def test_implausible_classes_are_not_considered(prior):
    image, coarse = random_case()
    every = asking(prior, uncertain_below=1.0).refine(image, coarse, NAMES)
    few = asking(prior, uncertain_below=1.0, candidate_threshold=0.25).refine(image, coarse, NAMES)
    implausible = coarse.probs < 0.25
    alone = (~implausible).sum(0) == 1
    torch.testing.assert_close(few.probs[:, alone], coarse.probs[:, alone])
    torch.testing.assert_close(few.probs[implausible], coarse.probs[implausible])
    assert not torch.allclose(every.probs[implausible], coarse.probs[implausible], atol=1e-3)
    assert not torch.allclose(few.probs, coarse.probs, atol=1e-3)


def test_proportions_grow_with_what_is_found(prior):
    image, coarse = random_case()

    def mean(**options) -> torch.Tensor:
        return asking(prior, **options).refine(image, coarse, NAMES).probs.mean((1, 2))

    before, found, shifted = coarse.probs.mean((1, 2)), mean(), mean(proportions=True)
    grew = found > before
    assert grew.any()
    assert not grew.all()
    most, least = (found / before).argmax(), (found / before).argmin()
    assert shifted[most] > found[most]
    assert shifted[least] < found[least]


def test_every_timestep_draw_and_view_has_noise_of_its_own(prior, monkeypatch):
    drawn = []

    def record(shape, *, seed, key, draw):
        drawn.append((key, draw))
        return image_noise(shape, seed=seed, key=key, draw=draw)

    monkeypatch.setattr('mmseg_g4seg.refiners.g4seg.encoding.image_noise', record)
    options = dict(timesteps=(100, 300), draws=2, uncertain_below=1.0, refiner={'passes_per_batch': 64})
    asking(prior, **options).refine(*random_case(), NAMES, key='a')
    assert drawn == [('a@100', 0), ('a@100', 1), ('a@300', 0), ('a@300', 1)]
    drawn.clear()
    asking(prior, crops=2, uncertain_below=1.0, refiner={'passes_per_batch': 64}).refine(*random_case(), NAMES, key='a')
    assert drawn == [(f'a/{view}@300', 0) for view in range(4)]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'smoothing': (3, 4)}, 'smoothing: expected odd'),
        ({'smoothing': ()}, 'smoothing'),
        ({'crops': 0}, 'crops: expected an integer of at least 1, got 0'),
        ({'crops': 1.5}, 'crops'),
        ({'draws': 0}, 'draws'),
        ({'timesteps': ()}, 'timesteps: expected timesteps, one at least'),
        ({'timesteps': 300}, 'timesteps: .*got 300'),
        ({'timesteps': (300.5,)}, 'timesteps: .*got 300.5'),
        ({'smoothing': 3.0}, 'smoothing: expected odd'),
        ({'proportions': 'no'}, "proportions: expected True or False, got 'no'"),
        ({'uncertain_below': '0.5'}, "uncertain_below: .*'0.5'"),
        ({'bound': 0}, 'bound: expected nats above 0'),
        ({'bound': '0.4'}, "bound: .*'0.4'"),
        ({'sharpness': -1.0}, 'sharpness'),
        ({'sharpness': float('nan')}, 'sharpness'),
        ({'uncertain_below': 1.2}, 'uncertain_below'),
        ({'candidate_threshold': -0.1}, 'candidate_threshold'),
        ({'upsampling': 'nearest'}, 'upsampling: expected one of'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        LikelihoodUpdate(**options)


def test_timesteps_that_the_prior_lacks(prior):
    with pytest.raises(ValueError, match='timestep: expected 0 to 999, got 1000'):
        make(prior, update=LikelihoodUpdate(timesteps=(300, 1000)))
