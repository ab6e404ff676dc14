"""Frozen text-to-image diffusion models, one file a family."""

from .base import DiffusionPrior, EncodedPrompts
from .loading import load_prior
from .prediction import PredictionType, add_noise, noise_target, predict_x0
from .stable_diffusion import StableDiffusionPrior

__all__ = [
    'DiffusionPrior',
    'EncodedPrompts',
    'PredictionType',
    'StableDiffusionPrior',
    'add_noise',
    'load_prior',
    'noise_target',
    'predict_x0',
]
