"""Dense features for matching a reconstruction to its original (the encoder F of G4Seg's SCA)."""

from .base import FeatureExtractor
from .build import build_features
from .clip import OpenClipFeatures, TransformersClipFeatures
from .denoiser import DenoiserFeatures
from .joined import JoinedFeatures

__all__ = [
    'DenoiserFeatures',
    'FeatureExtractor',
    'JoinedFeatures',
    'OpenClipFeatures',
    'TransformersClipFeatures',
    'build_features',
]
