"""Sources of coarse masks, one file a method; importing this lets configs name them all."""

from .attention import AttentionSource
from .base import CoarseSource
from .build import build_source, source_config, source_methods
from .cam import CAMSource
from .class_finder import ClassFinder, CLIPClassFinder
from .clip import ClipMethod, ClipSegmentor
from .clip_es import CLIPESSource
from .daam import DAAM
from .diffsegmenter import DiffSegmenter
from .generation import Pair, PairGenerator, generate_pairs
from .groupvit import GroupViTSegmentor
from .seediff import SeeDiff
from .seeds import SeedSource

__all__ = [
    'DAAM',
    'AttentionSource',
    'CAMSource',
    'CLIPClassFinder',
    'CLIPESSource',
    'ClassFinder',
    'ClipMethod',
    'ClipSegmentor',
    'CoarseSource',
    'DiffSegmenter',
    'GroupViTSegmentor',
    'Pair',
    'PairGenerator',
    'SeeDiff',
    'SeedSource',
    'build_source',
    'generate_pairs',
    'source_config',
    'source_methods',
]
