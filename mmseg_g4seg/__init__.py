"""Refinement of segmentation masks with a text-to-image diffusion model (G4Seg).

Importing the package registers what the installed hosts can use, as soon as they are imported, so that a config needs
`custom_imports = dict(imports=['mmseg_g4seg'])` and nothing else. Without a host it works on tensors. What the names
below need, such as torch, is imported when one of them is asked for; diffusers and its kind when a refiner is built.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .after_import import after_import
from .hosts.base_configs import name_installed_distributions

if TYPE_CHECKING:
    from .coarse import DAAM, ClipSegmentor, CoarseSource, DiffSegmenter, GroupViTSegmentor, SeeDiff, generate_pairs
    from .hosts.arrays import load_refiner
    from .hosts.sources import load_source
    from .prediction import ClassList, Prediction
    from .refiners import (
        CascadePSPRefiner,
        DenseCRFRefiner,
        G4SegRefiner,
        PAMRRefiner,
        Refiner,
        SAMRefiner,
        SegRefinerRefiner,
        SequentialRefiner,
        build_refiner,
    )

__version__ = '0.2.0'

__all__ = [
    'DAAM',
    'CascadePSPRefiner',
    'ClassList',
    'ClipSegmentor',
    'CoarseSource',
    'DenseCRFRefiner',
    'DiffSegmenter',
    'G4SegRefiner',
    'GroupViTSegmentor',
    'PAMRRefiner',
    'Prediction',
    'Refiner',
    'SAMRefiner',
    'SeeDiff',
    'SegRefinerRefiner',
    'SequentialRefiner',
    'build_refiner',
    'generate_pairs',
    'load_refiner',
    'load_source',
]

_HOMES = {
    'coarse': (
        'DAAM',
        'ClipSegmentor',
        'CoarseSource',
        'DiffSegmenter',
        'GroupViTSegmentor',
        'SeeDiff',
        'generate_pairs',
    ),
    'hosts.arrays': ('load_refiner',),
    'hosts.sources': ('load_source',),
    'prediction': ('ClassList', 'Prediction'),
}
"""Where the names above are, but for those of `refiners`."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    home = next((module for module, names in _HOMES.items() if name in names), 'refiners')
    return getattr(import_module(f'.{home}', __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


after_import('mmengine', name_installed_distributions)
after_import('mmseg', lambda: import_module('.hosts.mmseg', __name__))
