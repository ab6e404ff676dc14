"""How sharply to believe a prior about one image: as sharply as it agrees with the coarse probabilities there.

Shapes: N candidate classes, ... any dimensions of pixels, P pixels.
"""

import torch
from torch import Tensor

STEPS = 16
"""Parts that the range of sharpness is divided into."""
MOST_PIXELS = 5000
"""Pixels that are looked at, evenly spaced among those with a choice."""


def agreeing_sharpness(probs: Tensor, open_to: Tensor, errors: Tensor, highest: float) -> float:
    """Finds the sharpness at which the prior agrees best with the coarse probabilities of an image.

    Both judge the same pixels without having seen each other's answer, so where they contradict each other
    all over an image, one of them is wrong, and nothing is changed.

    Args:
        probs: (N, ...) float in [0, 1], coarse probabilities p of the candidates.
        open_to: (N, ...) bool, pixels that may take each.
        errors: (N, ...) float of the prior.
        highest: largest sharpness to consider, at least 0.

    Returns:
        The sharpness in [0, highest] with the largest mean log(sum of p q) over the pixels with a choice, q
        being the softmax of -sharpness * errors over what a pixel may take; 0 where no pixel has a choice.

    Source:
        None; the sum is the evidence of a model in which coarse scores and prior see one true class.
    """
    open_to, probs, errors = open_to.flatten(1), probs.flatten(1), errors.flatten(1)  # (N, P)
    chosen = (open_to.sum(dim=0) > 1).nonzero()[:, 0]
    if not len(chosen):
        return 0.0
    chosen = chosen[:: -(-len(chosen) // MOST_PIXELS)]
    closed = ~open_to[:, chosen]
    log_probs = probs[:, chosen].masked_fill(closed, 0).clamp_min(0).log()
    sharpnesses = torch.linspace(0, highest, STEPS + 1, dtype=torch.float64).tolist()
    agreement = [_agreement(log_probs, errors[:, chosen].masked_fill(closed, torch.inf), s) for s in sharpnesses]
    return sharpnesses[int(torch.stack(agreement).argmax())]


def _agreement(log_probs: Tensor, errors: Tensor, sharpness: float) -> Tensor:
    """Mean log of the probability that both give to the same class: (N, P) twice -> scalar."""
    closed = errors.isinf()
    answers = (-sharpness * errors.masked_fill(closed, 0)).masked_fill(closed, -torch.inf).log_softmax(dim=0)
    return (log_probs + answers).logsumexp(dim=0).clamp_min(-50).mean()
