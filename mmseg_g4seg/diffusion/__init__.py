"""Frozen text-to-image diffusion models, one file a family."""

from .families.flux import FluxPrior
from .families.stable_diffusion import StableDiffusionPrior
from .families.stable_diffusion_3 import StableDiffusion3Prior
from .families.stable_diffusion_xl import StableDiffusionXLPrior
from .loading import load_prior
from .prediction import PredictionType, add_noise, noise_target, predict_x0
from .prior import DiffusionPrior
from .text.encoded import EncodedPrompts

__all__ = [
    'DiffusionPrior',
    'EncodedPrompts',
    'FluxPrior',
    'PredictionType',
    'StableDiffusion3Prior',
    'StableDiffusionPrior',
    'StableDiffusionXLPrior',
    'add_noise',
    'load_prior',
    'noise_target',
    'predict_x0',
]
