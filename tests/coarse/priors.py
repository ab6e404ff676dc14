"""Priors of every architecture, small and with random weights, as sources read them."""

from mmseg_g4seg.diffusion.families.flux import FluxPrior
from mmseg_g4seg.diffusion.families.stable_diffusion_3 import StableDiffusion3Prior
from mmseg_g4seg.diffusion.families.stable_diffusion_xl import StableDiffusionXLPrior
from mmseg_g4seg.diffusion.loading import load_prior
from tests.conftest import as_prior, build_random_parts
from tests.diffusion.pipelines import build_flux, build_lcm, build_sd3, build_sdxl

FAMILIES = ('tiny', 'sd', 'lcm', 'sdxl', 'sd3', 'flux')
IMAGE_SIZE = 64
"""16 latent cells, 8 tokens of a transformer."""
PIPELINES = {
    'sdxl': (StableDiffusionXLPrior, build_sdxl),
    'sd3': (StableDiffusion3Prior, build_sd3),
    'flux': (FluxPrior, build_flux),
}


def build(family):
    if family == 'tiny':
        return load_prior('tiny')
    if family in ('sd', 'lcm'):
        return as_prior(build_random_parts() if family == 'sd' else build_lcm())
    prior_class, build_pipeline = PIPELINES[family]
    pipeline = build_pipeline()
    return prior_class(**{name: getattr(pipeline, name) for name in prior_class.parts})
