"""Builds feature extractors from configs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.registry import build_by_type

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
    builders: dict[str, Callable[..., FeatureExtractor]] = {
        'denoiser': partial(DenoiserFeatures, prior),
        'joined': partial(_build_joined, prior),
        'open_clip': OpenClipFeatures.from_pretrained,
        'transformers': TransformersClipFeatures.from_pretrained,
    }
    return build_by_type({'type': config} if isinstance(config, str) else config, builders, what='features')


def _build_joined(
    prior: DiffusionPrior, parts: Sequence[FeatureConfig], weights: Sequence[float] | None = None
) -> JoinedFeatures:
    return JoinedFeatures([build_features(part, prior) for part in parts], weights=weights)
