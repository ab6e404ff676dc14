"""MMSegmentation: importing this registers what mmseg's configs can name."""

from . import quiet_import as quiet_import  # first: the others import mmseg, too
from .datasets.checked_annotations import LoadCheckedAnnotations
from .datasets.coco_object import COCOObjectDataset
from .datasets.generated import GeneratedPairs
from .datasets.nightcity import NightCityDataset
from .datasets.voc20 import PascalVOC20Dataset
from .launch.replicas import ModelReplica
from .metric import RefinementMetric
from .saved_scores import SavedScoresSegmentor
from .scope import add_scope
from .segmentor import RefinedSegmentor
from .source_segmentor import SourceSegmentor
from .training_state import allow_training_state
from .tta import RefinedSegTTAModel
from .visualizer import RefinedSegVisualizer

add_scope()
allow_training_state()

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
    'SourceSegmentor',
]
