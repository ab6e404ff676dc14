"""Frozen text-to-image diffusion models, one file a family."""

from .base import DiffusionPrior, EncodedPrompts
from .flux import FluxPrior
from .loading import load_prior
from .prediction import PredictionType, add_noise, noise_target, predict_x0
from .stable_diffusion import StableDiffusionPrior
from .stable_diffusion_3 import StableDiffusion3Prior
from .stable_diffusion_xl import StableDiffusionXLPrior

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
