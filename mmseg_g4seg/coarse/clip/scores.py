"""From what words score to what classes score.

Shapes: V words (all synonyms), C classes, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

STRIP_BYTES = 2**28
"""What a softmax over words may take at once: of 56 words on 12 megapixels it has 2.7 GB."""


def class_scores(cosines: Tensor, owners: Sequence[int], num_classes: int, logit_scale: float | None) -> Tensor:
    """Softmax over words, and the best of each class's.

    Args:
        cosines: (V, H, W) float in [-1, 1]; or probabilities in any proportion, where there is no factor.
        owners: V class indices, ascending.
        num_classes: C, each of which owns a word.
        logit_scale: factor of cosines; None divides probabilities by their sum.

    Returns:
        (C, H, W) in [0, 1], dtype of `cosines`; sums to 1 at most.
    """
    counts = [list(owners).count(c) for c in range(num_classes)]
    scores = cosines.new_empty(num_classes, *cosines.shape[1:])
    rows = max(1, STRIP_BYTES // (4 * len(cosines) * cosines.shape[2]))
    for strip, place in zip(cosines.split(rows, dim=1), scores.split(rows, dim=1), strict=True):
        probs = _shares(strip) if logit_scale is None else (strip * logit_scale).softmax(dim=0)
        for own, score in zip(probs.split(counts), place, strict=True):
            torch.amax(own, dim=0, out=score)
    return scores


def _shares(probs: Tensor) -> Tensor:
    """(V, H, W) float -> likewise, in [0, 1], over their sum."""
    # keys may weigh below 0, and then all words do: raised, since cut off at 0 the best would be lost
    raised = probs - probs.amin(dim=0).clamp(max=0)
    return raised / raised.sum(dim=0).clamp(min=torch.finfo(raised.dtype).tiny)


def drop_small_classes(scores: Tensor, background: int | None, share: float) -> Tensor:
    """Empties classes that cover at most a share of the foreground, by the argmax (SCLIP's area threshold).

    Args:
        scores: (C, H, W) float.
        background: index of the class that is never emptied, and is no foreground.
        share: in [0, 1); 0 empties those alone that are nowhere the best.

    Returns:
        (C, H, W).
    """
    areas = scores.argmax(dim=0).flatten().bincount(minlength=len(scores))
    is_foreground = torch.ones_like(areas, dtype=torch.bool)
    if background is not None:
        is_foreground[background] = False
    kept = ~is_foreground | (areas > share * areas[is_foreground].sum())
    return scores * kept[:, None, None]
