"""The likelihood's sharpness from calibration: the one under which the truth is most likely, without training.

Shapes: N candidates, P uncertain labelled pixels of an image, Q of them where there is a choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmseg_g4seg.ops.posterior import bound_errors

from .uncertain_pixels import UncertainPixels

LARGEST = 1e5
"""Sharpness beyond which nothing is sought: the prior's choice is then all that counts."""
GRID = (0.0, *(2.0**power for power in range(-3, 17)), LARGEST)
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Choices:
    """Pixels of one image with a choice that can be right: the truth is open, and another class is.

    Attributes:
        log_probs: (N, Q) float64 log coarse probabilities, -inf where a candidate may not be.
        errors: (N, Q) float64 of the prior.
        true_row: (Q,) int64, the true class among the candidates.
        bound: most that the prior may say, `bound`; None for no bound.
    """

    log_probs: Tensor
    errors: Tensor
    true_row: Tensor
    bound: float | None = None

    def log_likelihood(self, sharpness: float) -> float:
        """Sum over pixels of the log-posterior of the true class among those that are open."""
        errors = self.errors
        if self.bound is not None and sharpness > 0:
            errors = bound_errors(errors, self.log_probs.isfinite(), self.bound / sharpness)
        posterior = (self.log_probs - sharpness * errors).log_softmax(dim=0)
        return float(posterior.gather(0, self.true_row[None]).sum())


def find_choices(pixels: UncertainPixels, bound: float | None = None) -> Choices:
    """Picks the labelled pixels with a choice from an image's uncertain ones."""
    pixels = pixels.labelled()
    row = pixels.rows_of(pixels.truth)
    probs = pixels.coarse.probs[pixels.candidates, 0].double()
    open_to = pixels.open_to & (probs > 0)
    chosen = (row >= 0) & (open_to.sum(dim=0) > 1)
    chosen &= pixels.coarse.probs[:, 0].gather(0, pixels.truth[None])[0] > 0
    log_probs = torch.where(open_to, probs, 0).log()[:, chosen]
    return Choices(log_probs, pixels.errors[:, chosen].double(), row[chosen], bound)


def calibrate(images: Sequence[Choices]) -> float:
    """Sharpness that maximises the log-likelihood of the truth, at least 0, at most `LARGEST`.

    Sought on a grid of powers of two, then by golden sections between the best one's neighbours, to a
    thousandth: without a bound the log-likelihood is concave in the sharpness, with one it need not be.

    Raises:
        ValueError: if no image has a pixel with a choice.
    """
    if not any(len(choices.true_row) for choices in images):
        raise ValueError('expected uncertain pixels with a choice to calibrate on, got none')

    def likelihood(sharpness: float) -> float:
        return sum(choices.log_likelihood(sharpness) for choices in images)

    on_grid = [likelihood(sharpness) for sharpness in GRID]
    best = max(range(len(GRID)), key=on_grid.__getitem__)
    low, high = GRID[max(best - 1, 0)], GRID[min(best + 1, len(GRID) - 1)]
    while high - low > max(1e-3 * high, 1e-6):
        span = GOLDEN * (high - low)
        if likelihood(high - span) >= likelihood(low + span):
            high = low + span
        else:
            low = high - span
    between = (low + high) / 2
    return between if likelihood(between) > on_grid[best] else GRID[best]
