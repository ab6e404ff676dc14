"""Refines `sem_seg`, whatever kind of scores the head gives.

Shapes: C classes, H W output size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from torch import Tensor, nn

from mmseg_g4seg.ops.scores import ScoreType, scores_to_probs
from mmseg_g4seg.prediction import ClassList, Key, Prediction
from mmseg_g4seg.refiners.base import Refiner

from .config import NODE

SCORE_TYPES: Mapping[str, ScoreType] = {
    'SemanticSegmentor': 'logits',
    'PanopticFPN': 'logits',
    'PanopticDeepLab': 'logits',
    # MaskFormer, Mask2Former and what derives from them, ODISE too: softmax of classes times sigmoid of masks, summed
    'MaskFormer': 'sum',
}
"""What `sem_seg` holds, by the class name of the model or of one that it derives from."""


@dataclass(frozen=True)
class RefinedSemantic:
    """Attributes:
    sem_seg: (C, H, W) float32 probabilities, whose argmax is the refined label map.
    stages: (H, W) int64 label map of every refiner of a chain, by its name, the last one the refined.
    seconds: of every refiner, by its name.
    """

    sem_seg: Tensor
    stages: dict[str, Tensor]
    seconds: dict[str, float]


def check_score_type(score_type: str) -> None:
    """Raises ValueError, naming the key and what there is, unless it is a `ScoreType` or `auto`."""
    if score_type not in ('auto', *get_args(ScoreType)):
        raise ValueError(
            f"{NODE}.SCORE_TYPE: expected 'auto', or what sem_seg holds, one of {get_args(ScoreType)}, got "
            f'{score_type!r}'
        )


def find_score_type(score_type: str, model: nn.Module) -> ScoreType:
    """What a model's `sem_seg` holds.

    Args:
        score_type: of the config; `auto` goes by the model's class.
        model: the plain one.

    Raises:
        ValueError: if there is no such type, or `auto` does not know the model.
    """
    check_score_type(score_type)
    if score_type != 'auto':
        return cast(ScoreType, score_type)
    found = next((SCORE_TYPES[base.__name__] for base in type(model).__mro__ if base.__name__ in SCORE_TYPES), None)
    if found is None:
        raise ValueError(
            f"{NODE}.SCORE_TYPE: 'auto' knows {sorted(SCORE_TYPES)} and their subclasses, not {type(model).__name__}: "
            "say what its sem_seg holds, 'logits', 'softmax', 'sigmoid' or 'sum'"
        )
    return found


def refine_semantic(
    refiner: Refiner, image: Tensor, sem_seg: Tensor, classes: ClassList, *, score_type: ScoreType, key: Key
) -> RefinedSemantic:
    """Refines one image.

    Args:
        refiner: what does the work.
        image: (3, H, W) float RGB in [0, 1].
        sem_seg: (C, H, W) float scores, whose argmax is the coarse label map.
        classes: C.
        score_type: of `sem_seg`.
        key: of the image.

    Raises:
        ValueError: if the scores are of another number of classes, or of another type.
    """
    if len(sem_seg) != len(classes):
        raise ValueError(
            f'the model scores {len(sem_seg)} classes in sem_seg, but the data set has {len(classes)} names '
            f'(stuff_classes): {classes.labels[:5]} ...; is DATASETS.TEST a data set that the model was trained for?'
        )
    if classes.threshold is not None:
        # every reader of sem_seg takes the argmax: labels by another rule would be shown to none of them
        raise ValueError('classes.threshold: Detectron2 decides by argmax, expected None')
    try:
        probs = scores_to_probs(sem_seg, score_type)
    except ValueError as error:
        raise ValueError(f'{NODE}.SCORE_TYPE: {error}') from error
    coarse = Prediction(probs.to(image.device), sem_seg.argmax(dim=0).to(image.device))
    stages = refiner.refine_stages([image], [coarse], classes, keys=[key])
    return RefinedSemantic(
        stages[-1].predictions[0].probs.to(sem_seg.device),
        {stage.name: stage.predictions[0].label_map for stage in stages},
        {stage.name: stage.seconds for stage in stages},
    )
