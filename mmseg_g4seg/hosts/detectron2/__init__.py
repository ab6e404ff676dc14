"""Detectron2: importing this registers `RefinedModel`; `add_g4seg_config(cfg)` adds its settings to a config."""

try:
    import detectron2  # noqa: F401
except ImportError as error:
    raise ImportError(
        'Detectron2 is missing; it is built from its repository: pip install --no-build-isolation '
        'git+https://github.com/facebookresearch/detectron2'
    ) from error

from .config import add_g4seg_config
from .evaluator import BeforeRefinement, RefinementEvaluator
from .lazy import measured, refined
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
    'measured',
    'refined',
]
