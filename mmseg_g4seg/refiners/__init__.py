"""Refiners: image and prediction in, better prediction out. Nothing here knows a host."""

from mmseg_g4seg.prediction import Prediction

from .base import Refiner
from .binary.cascade_psp import CascadePSPRefiner
from .binary.seg_refiner import SegRefinerRefiner
from .build import REFINERS, build_refiner
from .dense_crf import DenseCRFRefiner
from .g4seg.refiner import G4SegRefiner
from .g4seg.settings import G4SegSettings
from .pamr import PAMRRefiner
from .sequential import SequentialRefiner

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
