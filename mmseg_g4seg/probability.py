"""Confidence filter and the updates of foreground probabilities (G4Seg, Eq. 6 and 9).

Shapes: ... any leading dimensions, H W image size, N candidate classes.
"""

import torch
from torch import Tensor


def uncertain_pixels(probs: Tensor, confidence_range: tuple[float, float]) -> Tensor:
    """Marks the most uncertain pixels (the filter CF): low <= probability <= high.

    Args:
        probs: (..., H, W) float in [0, 1].
        confidence_range: (low, high), both in [0, 1].

    Returns:
        (..., H, W) bool.
    """
    low, high = confidence_range
    return (probs >= low) & (probs <= high)


def mix_foreground_probs(
    probs: Tensor, matched_probs: Tensor, beta: float, confidence_range: tuple[float, float]
) -> Tensor:
    """Moves uncertain probabilities towards those of their matches.

    Args:
        probs: (..., H, W) float in [0, 1], foreground probability S.
        matched_probs: (..., H, W) float in [0, 1], S at each pixel's match.
        beta: share of the old probability that is kept, in [0, 1].
        confidence_range: only probabilities within (low, high) move.

    Returns:
        (..., H, W): beta S + (1 - beta) S[match] where S is uncertain, S elsewhere.

    Source:
        G4Seg, Eq. 9.
    """
    mixed = beta * probs + (1 - beta) * matched_probs
    return torch.where(uncertain_pixels(probs, confidence_range), mixed, probs)


def posterior_probs(probs: Tensor, errors: Tensor, sharpness: float) -> Tensor:
    """Weighs class probabilities by the likelihood that a prior gives to each class.

    Args:
        probs: (N, ...) float in [0, 1], the coarse probabilities p(S) of N candidates.
        errors: (N, ...) float, the denoiser's error under each candidate, -log p(x | S) up to a
            factor and a constant.
        sharpness: that factor, lambda, at least 0.

    Returns:
        (N, ...): probabilities in proportion to probs * exp(-sharpness * errors), with the
        candidates' sum kept as it was.

    Source:
        G4Seg, Eq. 6, with the prior p(S) kept.
    """
    # only differences between candidates count: shift the best to 0 so that exp never underflows
    likelihood = torch.exp(-sharpness * (errors - errors.amin(dim=0, keepdim=True)))
    weighted = probs * likelihood
    total = weighted.sum(dim=0, keepdim=True).clamp_min(1e-12)
    return weighted / total * probs.sum(dim=0, keepdim=True)


def bound_errors(errors: Tensor, open_to: Tensor, bound: float) -> Tensor:
    """Bounds what any one error says: a prior that is far off in one place has no more say there than elsewhere.

    Args:
        errors: (N, ...) float, the denoiser's error under each of N candidates.
        open_to: (N, ...) bool, places that may take each.
        bound: most that an error may lie above or below the mean of the candidates that are open there, above 0.

    Returns:
        (N, ...): differences to that mean, squashed by bound * tanh(difference / bound).

    Source:
        None; bounded influence is the usual guard of robust statistics against a model that is at times wrong.
    """
    total = (errors * open_to).sum(dim=0, keepdim=True)
    mean = total / open_to.sum(dim=0, keepdim=True).clamp_min(1)
    return bound * torch.tanh((errors - mean) / bound)
