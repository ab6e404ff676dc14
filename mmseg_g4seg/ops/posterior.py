"""Confidence filter and the updates of foreground probabilities (G4Seg, Eq. 6 and 9).

Shapes: ... any leading dimensions, H W image size, N candidate classes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

AT_ONCE = 2**24
"""Numbers of (candidates, pixels) that are weighed together; each pixel is on its own."""


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
    # in logarithms, so that nothing underflows; a candidate of probability 0 has no say, whatever its error
    shares = torch.softmax(probs.log() - sharpness * errors, dim=0)
    total = probs.sum(dim=0, keepdim=True)
    return torch.where(total > 0, shares * total, 0)


def weigh_candidates(
    probs: Tensor, open_to: Tensor, errors: Tensor, sharpness: float, bound: float | None = None
) -> Tensor:
    """Weighs the candidates' coarse probabilities by their errors, each where it may be.

    Args:
        probs: (N, ...) float in [0, 1] of N candidates.
        open_to: (N, ...) bool, pixels that may take each.
        errors: (N, ...) float.
        sharpness: see `posterior_probs`.
        bound: see `bound_errors`; None for no bound.

    Returns:
        (N, ...): the posterior where a candidate may be, `probs` elsewhere.
    """
    if probs.numel() > AT_ONCE and probs.shape[1] > 1:
        # some rows at a time: each step is a copy, and of 20 candidates at 4096 x 4096 one has 1.3 GB
        rows = max(1, AT_ONCE * probs.shape[1] // probs.numel())
        parts = (maps.expand_as(probs).split(rows, dim=1) for maps in (probs, open_to, errors))
        result = torch.empty_like(probs)
        for place, own, may, error in zip(result.split(rows, dim=1), *parts, strict=True):
            place.copy_(weigh_candidates(own, may, error, sharpness, bound))
        return result
    if bound is not None and sharpness > 0:
        errors = bound_errors(errors, open_to, bound / sharpness)
    weighed = posterior_probs(torch.where(open_to, probs, 0), errors, sharpness)
    return torch.where(open_to, weighed, probs)


def shift_proportions(probs: Tensor, posterior: Tensor, open_to: Tensor, elsewhere: Tensor | None = None) -> Tensor:
    """Lets the proportions of classes in an image follow what was found there.

    Args:
        probs: (N, H, W) float in [0, 1], coarse probabilities of N candidates.
        posterior: (N, H, W) float in [0, 1], their posterior.
        open_to: (N, H, W) bool, pixels that may take each.
        elsewhere: (N,) float, sums of the candidates' probabilities over the pixels of the image that are not
            given, where posterior and coarse ones are the same; None where all are given.

    Returns:
        (N, H, W): where a candidate may be, in proportion to posterior * (mean posterior / mean coarse
        probability of its class), with the candidates' sum kept; `posterior` elsewhere.

    Source:
        One step of expectation-maximisation for new class proportions: Saerens, Latinne and Decaestecker,
        Adjusting the Outputs of a Classifier to New a Priori Probabilities, Neural Computation 14(1), 2002.
    """
    rest = 0 if elsewhere is None else elsewhere[:, None, None]
    found, coarse = (maps.sum(dim=(1, 2), keepdim=True) + rest for maps in (posterior, probs))
    growth = found / coarse.clamp_min(1e-12)
    return weigh_candidates(posterior, open_to, -torch.log(growth.clamp_min(1e-12)), 1.0)


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


def average_boxes(maps: Tensor, sides: Sequence[int]) -> Tensor:
    """Averages maps over a box around each cell, and over boxes of several sides: (N, h, w) -> (N, h, w).

    Cells beyond the border do not count.

    Args:
        maps: (N, h, w) float.
        sides: of the boxes, odd numbers of cells.
    """
    averaged = [F.avg_pool2d(maps[:, None], side, 1, side // 2, count_include_pad=False)[:, 0] for side in sides]
    return torch.stack(averaged).mean(dim=0)
