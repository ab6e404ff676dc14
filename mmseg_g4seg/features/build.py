"""Builds feature extractors from configs."""

from collections.abc import Callable, Sequence
from typing import Any

from ..diffusion.base import DiffusionPrior
from .base import FeatureExtractor
from .clip import OpenClipFeatures, TransformersClipFeatures
from .denoiser import DenoiserFeatures
from .joined import JoinedFeatures

FeatureConfig = dict[str, Any] | str


def build_features(config: FeatureConfig, prior: DiffusionPrior) -> FeatureExtractor:
    """Builds an extractor.

    Args:
        config: `dict(type='denoiser' | 'open_clip' | 'transformers', **options)`, or the type alone;
            `dict(type='joined', parts=[config, ...], weights=[...])` for several as one.
        prior: read by `denoiser`.

    Raises:
        ValueError: if the type or an option is not known, or an option does not fit.
    """
    options = {'type': config} if isinstance(config, str) else dict(config)
    kind = options.pop('type', None)
    builders: dict[Any, Callable[..., FeatureExtractor]] = {
        'denoiser': lambda **own: DenoiserFeatures(prior, **own),
        'open_clip': OpenClipFeatures.from_pretrained,
        'transformers': TransformersClipFeatures.from_pretrained,
        'joined': lambda **own: _build_joined(prior, **own),
    }
    if kind not in builders:
        raise ValueError(f'features: expected a type of {sorted(builders)}, got {kind!r}')
    try:
        return builders[kind](**options)
    except TypeError as error:
        if 'argument' not in str(error):
            raise
        raise ValueError(f'features of type {kind!r}: {error}') from error


def _build_joined(
    prior: DiffusionPrior, parts: Sequence[FeatureConfig], weights: Sequence[float] | None = None
) -> JoinedFeatures:
    return JoinedFeatures([build_features(part, prior) for part in parts], weights=weights)
