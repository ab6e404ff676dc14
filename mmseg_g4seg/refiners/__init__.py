"""Refiners: image and prediction in, better prediction out. Nothing here knows a host.

Importing this lets configs name every part of them.
"""

from .base import Refiner, Stage
from .binary.cascade_psp import CascadePSPRefiner
from .binary.sam import SAMRefiner
from .binary.seg_refiner import SegRefinerRefiner
from .build import build_refiner
from .dense_crf import DenseCRFRefiner
from .fill_void import FillVoid
from .g4seg.refiner import G4SegRefiner
from .pamr import PAMRRefiner
from .sequential import SequentialRefiner

__all__ = [
    'CascadePSPRefiner',
    'DenseCRFRefiner',
    'FillVoid',
    'G4SegRefiner',
    'PAMRRefiner',
    'Refiner',
    'SAMRefiner',
    'SegRefinerRefiner',
    'SequentialRefiner',
    'Stage',
    'build_refiner',
]
