"""Data sets that mmseg does not have, and checks of any."""

from .checked_annotations import LoadCheckedAnnotations
from .coco_object import COCOObjectDataset
from .nightcity import NightCityDataset
from .scenes import ScenesDataset
from .voc20 import PascalVOC20Dataset

__all__ = ['COCOObjectDataset', 'LoadCheckedAnnotations', 'NightCityDataset', 'PascalVOC20Dataset', 'ScenesDataset']
