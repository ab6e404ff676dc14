"""PASCAL VOC 2012 without the background."""

from typing import Any, ClassVar

from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS

from .checked_pairs import CheckedPairs


@DATASETS.register_module()
class PascalVOC20Dataset(CheckedPairs):
    """VOC's 20 classes; the background, 0 in the label files, is ignored (`reduce_zero_label`)."""

    METAINFO: ClassVar[dict] = {key: value[1:] for key, value in PascalVOCDataset.METAINFO.items()}

    def __init__(
        self,
        ann_file: str,
        img_suffix: str = '.jpg',
        seg_map_suffix: str = '.png',
        reduce_zero_label: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            ann_file=ann_file,
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            reduce_zero_label=reduce_zero_label,
            **kwargs,
        )
