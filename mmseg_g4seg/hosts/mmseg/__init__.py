"""MMSegmentation: importing this registers what mmseg's configs can name."""

from .datasets.checked_annotations import LoadCheckedAnnotations
from .datasets.coco_object import COCOObjectDataset
from .datasets.generated import GeneratedPairs
from .datasets.nightcity import NightCityDataset
from .datasets.voc20 import PascalVOC20Dataset
from .launch.replicas import ModelReplica
from .metric import RefinementMetric
from .saved_scores import SavedScoresSegmentor
from .segmentor import RefinedSegmentor
from .tta import RefinedSegTTAModel
from .visualizer import RefinedSegVisualizer

__all__ = [
    'COCOObjectDataset',
    'GeneratedPairs',
    'LoadCheckedAnnotations',
    'ModelReplica',
    'NightCityDataset',
    'PascalVOC20Dataset',
    'RefinedSegTTAModel',
    'RefinedSegVisualizer',
    'RefinedSegmentor',
    'RefinementMetric',
    'SavedScoresSegmentor',
]
