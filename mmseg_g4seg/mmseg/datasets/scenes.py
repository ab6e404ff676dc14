"""The procedural scenes of the demo."""

from typing import Any, ClassVar

from mmseg.registry import DATASETS

from ...scenes import CLASSES, PALETTE
from .pairs import CheckedPairs


@DATASETS.register_module()
class ScenesDataset(CheckedPairs):
    """The scenes as `tools/make_scenes.py` writes them."""

    METAINFO: ClassVar[dict] = {'classes': CLASSES, 'palette': [list(colour) for colour in PALETTE]}

    def __init__(self, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
