"""COCO-Object: the 80 classes of things of COCO, and background."""

from typing import Any, ClassVar

from mmseg.registry import DATASETS

from mmseg_g4seg.ops.palettes import voc_palette

from .checked_pairs import CheckedPairs
from .coco_names import OBJECT_CLASSES


@DATASETS.register_module()
class COCOObjectDataset(CheckedPairs):
    """COCO-Object, as open-vocabulary methods (GroupViT, TCL, SCLIP) use it: ids 0 to 80, 0 background.

    `tools/dataset_converters/coco_object.py` makes the label files. The palette is VOC's colour map.
    """

    METAINFO: ClassVar[dict] = {'classes': OBJECT_CLASSES, 'palette': voc_palette(len(OBJECT_CLASSES)).tolist()}

    def __init__(self, img_suffix: str = '.jpg', seg_map_suffix: str = '_instanceTrainIds.png', **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
