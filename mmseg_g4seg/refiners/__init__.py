"""Refiners: image and prediction in, better prediction out. Nothing here knows a host."""

from .base import Prediction, Refiner
from .build import REFINERS, build_refiner
from .cascade_psp import CascadePSPRefiner
from .dense_crf import DenseCRFRefiner
from .g4seg import G4SegRefiner
from .pamr import PAMRRefiner
from .seg_refiner import SegRefinerRefiner
from .sequential import SequentialRefiner
from .settings import G4SegSettings

__all__ = [
    'REFINERS',
    'CascadePSPRefiner',
    'DenseCRFRefiner',
    'G4SegRefiner',
    'G4SegSettings',
    'PAMRRefiner',
    'Prediction',
    'Refiner',
    'SegRefinerRefiner',
    'SequentialRefiner',
    'build_refiner',
]
