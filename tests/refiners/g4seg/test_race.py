"""A race by hand: a prior whose error under each class is known, and counts of its passes."""

import pytest
import torch

from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.g4seg.encoding import encode_images
from mmseg_g4seg.refiners.g4seg.race import Race
from mmseg_g4seg.refiners.g4seg.updates import LikelihoodUpdate
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.refiners.g4seg.making import asking, make


class KnownErrors:
    """A prior that errs by an amount of its own under each of the injected classes; remembers its passes."""

    def __init__(self, prior, errors=None):
        self.prior, self.errors, self.passes = prior, errors, []

    def __getattr__(self, name):
        return getattr(self.prior, name)

    def add_noise(self, latents, noise, timestep):
        self.noise = noise
        return latents if self.errors else self.prior.add_noise(latents, noise, timestep)

    def denoise(self, noisy, timestep, prompts, injection=None):
        masks = injection.layout.region_masks  # (B, R, h, w)
        self.passes += [(timestep, own) for own in masks]
        if not self.errors:
            return self.prior.denoise(noisy, timestep, prompts, injection)
        return self.noise + (masks * torch.tensor(self.errors)[:, None, None]).sum(1, keepdim=True)


def unsure() -> Prediction:
    """Five classes, as good as equal everywhere; each is there, so that each is asked."""
    probs = torch.full((5, IMAGE_SIZE, IMAGE_SIZE), 0.2)
    label_map = torch.arange(IMAGE_SIZE)[:, None].expand(-1, IMAGE_SIZE) * 5 // IMAGE_SIZE
    return Prediction(probs, label_map)


def test_who_has_lost_is_not_asked_again(prior):
    known = KnownErrors(prior, [0.3, 0.1, 0.2, 0.5, 0.4])
    race = Race(timesteps=(300, 200, 100), keep=(3, 2))
    refiner = asking(prior, timesteps=race, uncertain_below=1.0, sharpness=10.0, smoothing=1)
    refiner.prior = known
    refined = refiner.refine(torch.rand(3, IMAGE_SIZE, IMAGE_SIZE), unsure(), NAMES)
    assert [timestep for timestep, _ in known.passes] == [300] * 5 + [200] * 3 + [100] * 2
    shown = [own.flatten(1).any(1).tolist() for timestep, own in known.passes if timestep == 100]
    assert sorted(shown) == [[False, False, True, False, False], [False, True, False, False, False]]
    # what is dropped keeps its distance: with errors that are the same at every timestep, the posterior of all
    squares = torch.tensor(known.errors).square()
    expected = torch.softmax(-10.0 * squares, dim=0)[:, None, None]
    torch.testing.assert_close(refined.probs, expected.expand_as(refined.probs), atol=1e-4, rtol=0)


@pytest.mark.parametrize('options', [{}, {'crops': 2, 'draws': 2, 'bound': 0.4, 'smoothing': (1, 3)}])
def test_a_race_that_drops_no_one_asks_everything(prior, options):
    image, coarse = random_case()
    timesteps = (300, 100)
    every = asking(prior, timesteps=timesteps, uncertain_below=1.0, **options).refine(image, coarse, NAMES)
    race = Race(timesteps=timesteps, keep=(5,))
    raced = asking(prior, timesteps=race, uncertain_below=1.0, **options).refine(image, coarse, NAMES)
    torch.testing.assert_close(raced.probs, every.probs, atol=1e-5, rtol=0)
    assert not torch.allclose(every.probs, coarse.probs, atol=1e-3)


@pytest.mark.parametrize('timesteps', [(300, 200), Race(timesteps=(300, 200), keep=(2,))])
def test_passes_are_counted(prior, timesteps):
    known = KnownErrors(prior)
    refiner = asking(prior, timesteps=timesteps, draws=2, crops=2, uncertain_below=1.0)
    refiner.prior = known
    image, coarse = random_case()
    coarse, classes = refiner.on_device(coarse), ClassList(NAMES)
    encoded = encode_images(refiner.prior, [image], ['a'], refiner.image_size)
    selected = [refiner.select(coarse, classes)]
    (evidence,) = refiner.update.gather(refiner.passes(classes), encoded, [coarse], selected)
    assert evidence.passes == len(known.passes)
    everything = 2 * 2 * 4 * len(evidence.candidates)
    assert evidence.passes < everything if isinstance(timesteps, Race) else evidence.passes == everything


def test_a_config_names_it():
    update = dict(type='LikelihoodUpdate', timesteps=dict(type='Race', timesteps=(400, 100), keep=(3,)))
    refiner = build_refiner(dict(type='G4SegRefiner', prior='tiny', image_size=32, update=update))
    assert refiner.update.timesteps.keep == (3,)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'keep': (4,)}, 'keep: expected one number less than timesteps, 2, got 1'),
        ({'keep': (4, 1)}, 'keep: expected integers of at least 2, got 1'),
        ({'keep': 3}, 'keep: expected integers of at least 2, got 3'),
        ({'timesteps': (300, 0.5, 1)}, 'timesteps: expected integers, one at least, got 0.5'),
        ({'timesteps': (), 'keep': ()}, 'timesteps: expected integers, one at least'),
        ({'timesteps': (300,)}, 'keep: expected one number less than timesteps, 0, got 2'),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Race(**options)


def test_timesteps_that_the_prior_lacks(prior):
    with pytest.raises(ValueError, match='timestep: expected 0 to 999, got 1000'):
        make(prior, update=LikelihoodUpdate(timesteps=Race(timesteps=(300, 1000), keep=(2,))))
