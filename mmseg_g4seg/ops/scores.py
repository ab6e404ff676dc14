"""What a head's scores mean, and how they become probabilities.

Shapes: C classes (a one-channel head has C = 1), H W image size.
"""

import warnings
from typing import Literal, get_args

import torch
from torch import Tensor

ScoreType = Literal['logits', 'softmax', 'sigmoid', 'sum']
"""`logits`: before softmax (before sigmoid where C = 1). `softmax`: probabilities that sum to 1.
`sigmoid`: one probability a class, which need not sum to 1. `sum`: non-negative evidence, such as
Mask2Former's sums of softmax times sigmoid."""

TOLERANCE = 1e-3


def check_score_type(score_type: str) -> None:
    """Raises ValueError, naming those that there are, unless it is one of `ScoreType`."""
    if score_type not in get_args(ScoreType):
        raise ValueError(f'score_type: expected one of {get_args(ScoreType)}, got {score_type!r}')


def scores_to_probs(scores: Tensor, score_type: ScoreType) -> Tensor:
    """Turns a head's scores into class probabilities.

    Args:
        scores: (C, H, W) float, C >= 2.
        score_type: what they are.

    Returns:
        (C, H, W) float32 in [0, 1] that sum to 1 over classes.

    Raises:
        ValueError: if scores are not finite, or lie outside the range of their type. Logits have no
            range: that none is negative is a warning.
    """
    check_score_type(score_type)
    scores = scores.float()
    check_finite(scores)
    if score_type == 'logits':
        _warn_of_probs(scores)
        return scores.softmax(dim=0)
    low, high = float(scores.min()), float(scores.max())
    if low < -TOLERANCE or (score_type != 'sum' and high > 1 + TOLERANCE):
        raise ValueError(
            f'score_type={score_type!r}: expected scores in [0, {"inf" if score_type == "sum" else 1}], got '
            f"{low:.4g} to {high:.4g}; did you mean 'logits'?"
        )
    if score_type == 'softmax':
        check_sums(scores, hint="; did you mean score_type='sigmoid' or 'sum'?")
    probs = scores.clamp_min(0)
    return probs.div_(probs.sum(dim=0, keepdim=True).clamp_min(1e-12))


def check_sums(probs: Tensor, *, hint: str = '') -> None:
    """Raises ValueError, with `hint` at its end, unless probabilities (C, H, W) sum to 1, but for what is rounded."""
    total = probs.sum(dim=0)
    # float16 and bilinear resizing keep sums; anything far from 1 is another kind of score
    if total.numel() and float((total - 1).abs().max()) > 0.05:
        raise ValueError(
            f'expected probabilities that sum to 1 over classes, got sums from {float(total.min()):.4g} to '
            f'{float(total.max()):.4g}{hint}'
        )


def check_finite(scores: Tensor) -> None:
    """Raises ValueError if any of the scores, float of any shape, is NaN or infinite."""
    # by the extremes, which NaN spreads to: torch.isfinite takes as much memory as the scores once more
    if not (torch.stack(torch.aminmax(scores)).isfinite().all()):
        raise ValueError(f'expected finite scores, got {int((~torch.isfinite(scores)).sum())} that are NaN or infinite')


def binary_probs(score: Tensor) -> Tensor:
    """Background and foreground of a one-channel head that stores a sigmoid: (1, H, W) -> (2, H, W)."""
    return torch.cat([1 - score.float(), score.float()])


def _warn_of_probs(scores: Tensor) -> None:
    """Logits have negative values nearly always; none at all says that they are something else."""
    if len(scores) == 1 or float(scores.min()) < 0:
        return
    if float((scores.sum(dim=0) - 1).abs().max()) < TOLERANCE:
        meant = "they are in [0, 1] and sum to 1: did you mean score_type='softmax'?"
    elif float(scores.max()) <= 1:
        meant = "they are in [0, 1]: did you mean score_type='sigmoid', or 'sum' (Mask2Former)?"
    else:
        meant = "did you mean score_type='sum' (Mask2Former)?"
    warnings.warn(f"score_type='logits', but no score is negative; a softmax would flatten them; {meant}", stacklevel=3)
