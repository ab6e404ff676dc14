"""How a layout reaches a denoiser, one file a way; importing this lets configs name them all."""

from .attention import MaskInjector, mask_biased_attention
from .base import AttentionInjector, Injection, Injector
from .controlnet import ControlNetInjector
from .dense_diffusion import DenseDiffusionInjector
from .layouts import RegionLayout

__all__ = [
    'AttentionInjector',
    'ControlNetInjector',
    'DenseDiffusionInjector',
    'Injection',
    'Injector',
    'MaskInjector',
    'RegionLayout',
    'mask_biased_attention',
]
