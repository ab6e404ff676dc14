"""A refined model in a LazyConfig, and what measures it."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import LazyCall
from omegaconf import DictConfig, ListConfig, OmegaConf

from mmseg_g4seg.refiners.panoptic import SEGMENT_BORDER

from .evaluator import RefinementEvaluator
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
    return LazyCall(RefinedModel)(
        model=_resolved(node),
        refiner=str(refiner) if isinstance(refiner, Path) else refiner,
        dataset=dataset,
        input_format=input_format,
        score_type=score_type,
        outputs=list(outputs),
        soften=soften,
    )


def measured(
    evaluator: DictConfig | ListConfig,
    *,
    dataset: str,
    output_dir: 'str | Path | None' = None,
    measures: Sequence[str] = ('sem_seg',),
) -> list[DictConfig]:
    """The nodes of a refined model's evaluators: `dataloader.evaluator = measured(dataloader.evaluator, dataset=...)`.

    Args:
        evaluator: the config's own, one or a list.
        dataset: registered name of the data set that is evaluated.
        output_dir: see `RefinementEvaluator`.
        measures: likewise; the `outputs` of the refined model.

    Returns:
        A `RefinementEvaluator`, then the config's own.
    """
    own = _resolved(evaluator)
    table = LazyCall(RefinementEvaluator)(
        dataset_name=dataset, output_dir=None if output_dir is None else str(output_dir), measures=list(measures)
    )
    # ours first: COCOPanopticEvaluator rewrites what the others would read
    return [table, *(own if isinstance(own, ListConfig) else [own])]


def _resolved(node: Any) -> Any:
    """A copy without interpolations: `${..test.dataset.names}` finds nothing from inside another node."""
    plain = copy.deepcopy(node)
    OmegaConf.resolve(plain)
    return plain
