"""Builds refiners from configs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import signature
from typing import Any

from mmseg_g4seg.registry import build_by_type

from .base import Refiner


def build_refiner(config: 'dict[str, Any] | Refiner | None') -> Refiner | None:
    """Builds a refiner.

    Args:
        config: `dict(type='G4SegRefiner', prior=..., features=..., dtype=..., **settings)`; a built
            refiner and None pass through.

    Raises:
        ValueError: if the type or an option is not known, or one is missing.
    """
    if config is None or isinstance(config, Refiner):
        return config
    return build_by_type(config, REFINERS, what='refiner')


def build_g4seg(prior: Any, *, features: Any = 'denoiser', **options: Any) -> Refiner:
    """Builds a `G4SegRefiner`, loading its prior and its feature extractor.

    Args:
        prior: folder, hub id or name for `load_prior`, or a built `DiffusionPrior`.
        features: config for `build_features`, or a built `FeatureExtractor`.
        options: fields of `G4SegSettings`, and of `load_prior` (`dtype`, `variant`, `lora`,
            `controlnet` ...) where there is a prior to load.

    Raises:
        ValueError: if an option is not known or out of range, if the prior cannot take what is loaded
            onto it, or if something is to be loaded onto one that is built.
    """
    from mmseg_g4seg.diffusion.prior import DiffusionPrior
    from mmseg_g4seg.diffusion.weights.loading import load_prior
    from mmseg_g4seg.features.base import FeatureExtractor
    from mmseg_g4seg.features.build import build_features

    from .g4seg.refiner import G4SegRefiner
    from .g4seg.settings import G4SegSettings

    known, of_loading = set(G4SegSettings.__dataclass_fields__), set(signature(load_prior).parameters) - {'source'}
    unknown = sorted(set(options) - known - of_loading)
    if unknown:
        raise ValueError(f'G4SegRefiner has no parameter {unknown}; it has {sorted(known | of_loading)}')
    # configs hold lists where settings are tuples
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items() if k in known}
    checked = G4SegSettings(**fields)
    loading = {k: v for k, v in options.items() if k in of_loading}
    if not isinstance(prior, DiffusionPrior):
        prior = load_prior(prior, **loading)
    elif loading:
        raise ValueError(f'{sorted(loading)}: expected a prior to load, got one that is built; load it with them')
    extractor = features if isinstance(features, FeatureExtractor) else build_features(features, prior)
    return G4SegRefiner(prior, features=extractor, settings=checked)


def build_sequential(refiners: Sequence[Any]) -> Refiner:
    """Builds a `SequentialRefiner` from configs or built refiners."""
    from .sequential import SequentialRefiner

    built = [build_refiner(refiner) for refiner in refiners]
    return SequentialRefiner([refiner for refiner in built if refiner is not None])


def build_dense_crf(preset: str = 'deeplab', **options: Any) -> Refiner:
    """Builds a `DenseCRFRefiner`.

    Args:
        preset: `deeplab`, `irn` or `clip_es`.
        options: fields of `CRFParameters`, over the preset's, and arguments of `DenseCRFRefiner`.
    """
    from .dense_crf import PRESETS, CRFParameters, DenseCRFRefiner

    if preset not in PRESETS:
        raise ValueError(f'preset: expected one of {sorted(PRESETS)}, got {preset!r}')
    fields = {name: options.pop(name) for name in list(options) if name in CRFParameters.__dataclass_fields__}
    return DenseCRFRefiner(replace(PRESETS[preset], **fields), **options)


def build_pamr(preset: str = 'pamr', **options: Any) -> Refiner:
    """Builds a `PAMRRefiner`.

    Args:
        preset: `pamr` (its authors' iterations and dilations) or `sclip`.
        options: arguments of `PAMRRefiner`, over the preset's.
    """
    from .pamr import PRESETS, PAMRRefiner

    if preset not in PRESETS:
        raise ValueError(f'preset: expected one of {sorted(PRESETS)}, got {preset!r}')
    return PAMRRefiner(**{**dict(zip(('iterations', 'dilations'), PRESETS[preset], strict=True)), **options})


def build_cascade_psp(weights: str | None = None, *, download: bool = False, **options: Any) -> Refiner:
    """Builds a `CascadePSPRefiner`; see `load_cascade_psp` for the first two arguments."""
    from .binary.cascade_psp import CascadePSPRefiner, load_cascade_psp

    return CascadePSPRefiner(load_cascade_psp(weights, download=download), **options)


def build_seg_refiner(weights: str, **options: Any) -> Refiner:
    """Builds a `SegRefinerRefiner` on a checkpoint of its authors."""
    from .binary.seg_refiner import SegRefinerRefiner, load_seg_refiner

    return SegRefinerRefiner(load_seg_refiner(weights), **options)


REFINERS: dict[str, Callable[..., Refiner]] = {
    'CascadePSPRefiner': build_cascade_psp,
    'DenseCRFRefiner': build_dense_crf,
    'G4SegRefiner': build_g4seg,
    'PAMRRefiner': build_pamr,
    'SegRefinerRefiner': build_seg_refiner,
    'SequentialRefiner': build_sequential,
}
"""Type in a config -> what builds it. Add to it to name a refiner of your own in configs."""
