"""The node `MODEL.G4SEG` of a Detectron2 config."""

from collections.abc import Sequence

from detectron2.config import CfgNode

from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER
from mmseg_g4seg.registry import NUMBER, expect_option

NODE = 'MODEL.G4SEG'
"""Where a message says that a setting is."""
OUTPUTS = ('sem_seg', 'panoptic_seg', 'instances')
"""What of a model's outputs can be refined, as Detectron2 calls it."""


def add_g4seg_config(cfg: CfgNode) -> None:
    """Adds the node `MODEL.G4SEG` with its defaults, in place; before a file is merged that sets them.

    `MODEL.META_ARCHITECTURE: RefinedModel` then builds the model that `G4SEG.META_ARCHITECTURE` names, with the
    refiner of `G4SEG.REFINER` behind it.
    """
    node = CfgNode()
    # the plain model's registration name, such as SemanticSegmentor, PanopticFPN, MaskFormer
    node.META_ARCHITECTURE = ''
    # what `load_refiner` takes: a config file, `mmseg_g4seg::_base_/refiners/g4seg_sd21.py`, a prior's folder, `tiny`;
    # empty leaves the model as it is
    node.REFINER = ''
    # what `sem_seg` holds: logits, softmax, sigmoid or sum; auto knows it of Detectron2's own and of MaskFormer's heads
    node.SCORE_TYPE = 'auto'
    # which of the outputs are refined, out of sem_seg, panoptic_seg, instances
    node.OUTPUTS = ['sem_seg']
    # how wide borders of hard segments and instances are unsure, see `refine_panoptic`
    node.SOFTEN = SEGMENT_BORDER
    cfg.MODEL.G4SEG = node


def check_soften(soften: float) -> float:
    """Gives the width of unsure borders back; raises ValueError unless it is a share of an image."""
    width: float = expect_option(
        f'{NODE}.SOFTEN', soften, NUMBER, "a share of the image's longer side", holds=lambda v: 0 <= v <= 1
    )
    return width


def check_outputs(outputs: str | Sequence[str]) -> tuple[str, ...]:
    """Gives the names of the outputs to refine as a tuple.

    Raises:
        ValueError: if one is not of `OUTPUTS`, or there is none.
    """
    names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    if not names or not set(names) <= set(OUTPUTS):
        raise ValueError(f'{NODE}.OUTPUTS: expected some of {list(OUTPUTS)}, got {list(names)}')
    return names
