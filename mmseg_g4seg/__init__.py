"""Refinement of segmentation masks with a text-to-image diffusion model (G4Seg).

Importing the package registers what the installed host can use, so that a config needs
`custom_imports = dict(imports=['mmseg_g4seg'])` and nothing else. Without a host it works on
tensors. diffusers, transformers and open_clip are imported when a refiner is built, not here.
"""

from importlib.util import find_spec

from .coarse import DAAM, CoarseSource, DiffSegmenter, SeeDiff
from .hosts.arrays import load_refiner
from .hosts.sources import load_source
from .prediction import ClassList, Prediction
from .refiners import (
    CascadePSPRefiner,
    DenseCRFRefiner,
    G4SegRefiner,
    PAMRRefiner,
    Refiner,
    SegRefinerRefiner,
    SequentialRefiner,
    build_refiner,
)

__version__ = '0.1.0'

if find_spec('mmseg') is not None and find_spec('mmengine') is not None:
    from .hosts import mmseg as mmseg

__all__ = [
    'DAAM',
    'CascadePSPRefiner',
    'ClassList',
    'CoarseSource',
    'DenseCRFRefiner',
    'DiffSegmenter',
    'G4SegRefiner',
    'PAMRRefiner',
    'Prediction',
    'Refiner',
    'SeeDiff',
    'SegRefinerRefiner',
    'SequentialRefiner',
    'build_refiner',
    'load_refiner',
    'load_source',
]
