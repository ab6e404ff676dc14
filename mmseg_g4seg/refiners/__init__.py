"""Refiners: image and prediction in, better prediction out. Nothing here knows a host."""

from .base import Prediction, Refiner
from .build import REFINERS, build_refiner
from .dense_crf import DenseCRFRefiner
from .g4seg import G4SegRefiner
from .sequential import SequentialRefiner
from .settings import G4SegSettings

__all__ = [
    'REFINERS',
    'DenseCRFRefiner',
    'G4SegRefiner',
    'G4SegSettings',
    'Prediction',
    'Refiner',
    'SequentialRefiner',
    'build_refiner',
]
