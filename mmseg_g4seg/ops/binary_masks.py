"""From one multi-class prediction to binary masks and back.

Shapes: C classes of the data set, K classes refined, H W image size.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

LEAST_EVIDENCE = 1e-3
LEAST_PRIOR = 0.05


def merge_binary_masks(
    probs: Tensor, classes: Sequence[int], claims: Tensor, *, background_index: int | None = None
) -> Tensor:
    """Merges independently refined binary masks into probabilities over all classes.

    A tool for one object at a time leaves pixels that several classes claim and pixels that none does.
    Here, where one class claims a pixel it gets it. Where several do, the odds of their claims decide
    together with the coarse probabilities, whose say is bounded (at most 20 to 1), so that they break
    ties but do not veto. Where none does, the refined classes' coarse probabilities go to the
    background, if there is one, and stay, if not. All of it is graded: a claim of 0.6 moves a pixel six
    tenths of the way.

    Args:
        probs: (C, H, W) float coarse probabilities that sum to 1.
        classes: K class indices, without the background.
        claims: (K, H, W) float in [0, 1], each class's refined mask.
        background_index: class that takes what no other claims.

    Returns:
        (C, H, W) that sums to 1, dtype of `probs`.
    """
    index = torch.as_tensor(list(classes), device=probs.device, dtype=torch.long)
    claims = claims.to(probs)
    claimed = claims.amax(dim=0)  # (H, W)
    bounded = claims.clamp(LEAST_EVIDENCE, 1 - LEAST_EVIDENCE)
    evidence = bounded / (1 - bounded) * probs[index].clamp_min(LEAST_PRIOR)
    evidence /= evidence.sum(dim=0)
    merged = probs.clone()
    if background_index is not None:
        # what was refined and not claimed is background; classes that were left out keep their own
        merged[background_index] += probs[index].sum(dim=0)
        merged[index] = 0.0
    merged *= 1 - claimed
    for c, share in zip(classes, evidence, strict=True):
        merged[c] += claimed * share
    return merged
