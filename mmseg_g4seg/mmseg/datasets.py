"""Data sets that mmseg does not have."""

from typing import ClassVar

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..scenes import CLASSES, PALETTE


@DATASETS.register_module()
class ScenesDataset(BaseSegDataset):
    """The procedural scenes of the demo, as `tools/make_scenes.py` writes them."""

    METAINFO: ClassVar[dict] = {'classes': CLASSES, 'palette': [list(colour) for colour in PALETTE]}

    def __init__(self, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
