"""From what words score to what classes score, and where the background wins.

Shapes: W words (all synonyms), C classes, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def class_scores(word_probs: Tensor, owners: Sequence[int], num_classes: int) -> Tensor:
    """The best of each class's words.

    Args:
        word_probs: (W, H, W') float in [0, 1], a softmax over words.
        owners: W class indices, ascending.
        num_classes: C, each of which owns a word.

    Returns:
        (C, H, W'), dtype of `word_probs`; sums to 1 at most.
    """
    if len(owners) == num_classes:
        return word_probs
    counts = [list(owners).count(c) for c in range(num_classes)]
    return torch.stack([own.amax(dim=0) for own in word_probs.split(counts)])


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
