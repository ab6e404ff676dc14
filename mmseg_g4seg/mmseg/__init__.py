"""MMSegmentation: importing this registers what mmseg's configs can name."""

from .datasets import ScenesDataset
from .distribution import name_installed_distribution
from .metric import RefinementMetric
from .saved_scores import SavedScoresSegmentor
from .segmentor import RefinedSegmentor
from .tta import RefinedSegTTAModel

name_installed_distribution()

__all__ = ['RefinedSegTTAModel', 'RefinedSegmentor', 'RefinementMetric', 'SavedScoresSegmentor', 'ScenesDataset']
