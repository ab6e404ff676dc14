"""MMSegmentation: importing this registers what mmseg's configs can name."""

from .datasets import (
    COCOObjectDataset,
    LoadCheckedAnnotations,
    NightCityDataset,
    PascalVOC20Dataset,
    ScenesDataset,
)
from .distribution import name_installed_distribution
from .metric import RefinementMetric
from .replicas import ModelReplica
from .saved_scores import SavedScoresSegmentor
from .segmentor import RefinedSegmentor
from .tta import RefinedSegTTAModel
from .visualizer import RefinedSegVisualizer

name_installed_distribution()

__all__ = [
    'COCOObjectDataset',
    'LoadCheckedAnnotations',
    'ModelReplica',
    'NightCityDataset',
    'PascalVOC20Dataset',
    'RefinedSegTTAModel',
    'RefinedSegVisualizer',
    'RefinedSegmentor',
    'RefinementMetric',
    'SavedScoresSegmentor',
    'ScenesDataset',
]
