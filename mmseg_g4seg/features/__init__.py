"""Dense features for matching a reconstruction to its original (the encoder F of G4Seg's SCA)."""

from .base import FeatureExtractor
from .clip import OpenCLIPFeatures, TransformersCLIPFeatures
from .denoiser import DenoiserFeatures

__all__ = ['DenoiserFeatures', 'FeatureExtractor', 'OpenCLIPFeatures', 'TransformersCLIPFeatures']
