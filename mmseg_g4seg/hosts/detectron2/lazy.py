"""A refined model in a LazyConfig."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import LazyCall
from omegaconf import DictConfig, OmegaConf

from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER

from .model import RefinedModel


def refined(
    node: DictConfig,
    *,
    refiner: 'Mapping[str, Any] | str | Path | None',
    dataset: str = '',
    input_format: str = '',
    score_type: str = 'auto',
    outputs: Sequence[str] = ('sem_seg',),
    soften: float = SEGMENT_BORDER,
) -> DictConfig:
    """The node of a refined model in place of a plain one's: `model = refined(model, refiner='tiny', dataset=...)`.

    Args:
        node: of the plain model, as `LazyCall` makes it.
        refiner: what `load_refiner` takes.
        dataset: see `RefinedModel`.
        input_format: likewise; the `image_format` of the test loader's mapper.
        score_type: likewise.
        outputs: likewise.
        soften: likewise.
    """
    plain = copy.deepcopy(node)
    # interpolations are read from the root of a config: inside another node they would find nothing
    OmegaConf.resolve(plain)
    return LazyCall(RefinedModel)(
        model=plain,
        refiner=str(refiner) if isinstance(refiner, Path) else refiner,
        dataset=dataset,
        input_format=input_format,
        score_type=score_type,
        outputs=list(outputs),
        soften=soften,
    )
