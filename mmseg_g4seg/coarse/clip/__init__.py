"""Sources of coarse masks that read CLIP's vision transformer, without training; one file a method."""

from .base import ClipMethod
from .clearclip import ClearCLIP
from .maskclip import MaskCLIP
from .naclip import NACLIP
from .proxyclip import ProxyCLIP
from .sclip import SCLIP
from .segmentor import ClipSegmentor
from .vanilla import VanillaCLIP

__all__ = ['NACLIP', 'SCLIP', 'ClearCLIP', 'ClipMethod', 'ClipSegmentor', 'MaskCLIP', 'ProxyCLIP', 'VanillaCLIP']
