"""Refiners on the random prior of the tests."""

from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import LikelihoodUpdate
from tests.conftest import IMAGE_SIZE


def make(prior, **options) -> G4SegRefiner:
    """The refiner at the tests' image size."""
    return G4SegRefiner(prior, **{'image_size': IMAGE_SIZE, **options})


def asking(prior, *, refiner=(), **options) -> G4SegRefiner:
    """One with the likelihood update at one timestep; `refiner` has options beside the update's."""
    return make(prior, update=LikelihoodUpdate(**{'timesteps': (300,), **options}), **dict(refiner))


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
        return self.noise + self.error * (1 - injection.layout.region_masks.sum(1, keepdim=True))
