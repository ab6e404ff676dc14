"""The likelihood's sharpness from calibration: the one under which the truth is most likely, without training.

Shapes: N candidates, P uncertain labelled pixels of an image, Q of them where there is a choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .uncertain_pixels import UncertainPixels

LARGEST = 1e5
"""Sharpness beyond which nothing is sought: the prior's choice is then all that counts."""


@dataclass(frozen=True)
class Choices:
    """Pixels of one image with a choice that can be right: the truth is open, and another class is.

    Attributes:
        log_probs: (N, Q) float64 log coarse probabilities, -inf where a candidate may not be.
        errors: (N, Q) float64 of the prior.
        true_row: (Q,) int64, the true class among the candidates.
    """

    log_probs: Tensor
    errors: Tensor
    true_row: Tensor

    def log_likelihood(self, sharpness: float) -> float:
        """Sum over pixels of the log-posterior of the true class among those that are open."""
        posterior = (self.log_probs - sharpness * self.errors).log_softmax(dim=0)
        return float(posterior.gather(0, self.true_row[None]).sum())

    def slope(self, sharpness: float) -> float:
        """Derivative of `log_likelihood` by sharpness: the posterior's mean error less the truth's."""
        posterior = (self.log_probs - sharpness * self.errors).softmax(dim=0)
        return float((posterior * self.errors).sum() - self.errors.gather(0, self.true_row[None]).sum())


def find_choices(pixels: UncertainPixels) -> Choices:
    """Picks the pixels with a choice from an image's uncertain ones."""
    row = pixels.rows_of(pixels.truth)
    probs = pixels.coarse.probs[pixels.candidates, 0].double()
    open_to = pixels.open_to & (probs > 0)
    chosen = (row >= 0) & (open_to.sum(dim=0) > 1)
    chosen &= pixels.coarse.probs[:, 0].gather(0, pixels.truth[None])[0] > 0
    log_probs = torch.where(open_to, probs, 0).log()[:, chosen]
    return Choices(log_probs, pixels.errors[:, chosen].double(), row[chosen])


def calibrate(images: Sequence[Choices]) -> float:
    """Sharpness that maximises the mean log-likelihood of the truth, at least 0, at most `LARGEST`.

    The log-likelihood is concave in the sharpness (a linear function less a log-sum-exp of linear ones),
    so that its slope is bisected.

    Raises:
        ValueError: if no image has a pixel with a choice.
    """
    if not any(len(choices.true_row) for choices in images):
        raise ValueError('expected uncertain pixels with a choice to calibrate on, got none')

    def slope(sharpness: float) -> float:
        return sum(choices.slope(sharpness) for choices in images)

    low, high = 0.0, 1.0
    if slope(low) <= 0:
        return low
    while slope(high) > 0:
        low, high = high, 2 * high
        if high > LARGEST:
            return LARGEST
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2
