"""One file a family of text-to-image models; importing this lets configs and `load_prior` name them all."""

from .flux import FluxPrior
from .stable_diffusion import StableDiffusionPrior
from .stable_diffusion_3 import StableDiffusion3Prior
from .stable_diffusion_xl import StableDiffusionXLPrior

__all__ = ['FluxPrior', 'StableDiffusion3Prior', 'StableDiffusionPrior', 'StableDiffusionXLPrior']
