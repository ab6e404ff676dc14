"""Sources of coarse masks, one file a method; importing this lets configs name them all."""

from .attention import AttentionSource
from .base import CoarseSource
from .daam import DAAM
from .diffsegmenter import DiffSegmenter
from .generation import Pair, PairGenerator, generate_pairs
from .seediff import SeeDiff

__all__ = [
    'DAAM',
    'AttentionSource',
    'CoarseSource',
    'DiffSegmenter',
    'Pair',
    'PairGenerator',
    'SeeDiff',
    'generate_pairs',
]
