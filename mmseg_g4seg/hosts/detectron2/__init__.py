"""Detectron2: importing this registers `RefinedModel`; `add_g4seg_config(cfg)` adds its settings to a config."""

from .config import add_g4seg_config
from .evaluator import BeforeRefinement, RefinementEvaluator
from .lazy import refined
from .measures import Measure
from .model import RefinedModel
from .semantic_measure import SemanticMeasure

__all__ = [
    'BeforeRefinement',
    'Measure',
    'RefinedModel',
    'RefinementEvaluator',
    'SemanticMeasure',
    'add_g4seg_config',
    'refined',
]
