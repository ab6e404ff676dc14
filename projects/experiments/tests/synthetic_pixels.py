"""Uncertain pixels of images that do not exist, for priors whose answers are known."""

import torch

from mmseg_g4seg.prediction import Prediction
from projects.experiments.limits.uncertain_pixels import UncertainPixels


def make_pixels(probs, errors, truth, *, open_to=None) -> UncertainPixels:
    """From (C, P) probs, (C, P) errors and (P,) truth; every class is a candidate, open unless `open_to` says no."""
    probs = torch.as_tensor(probs, dtype=torch.float32)
    errors = torch.as_tensor(errors, dtype=torch.float32)
    classes = len(probs)
    opened = torch.ones_like(probs, dtype=torch.bool) if open_to is None else torch.as_tensor(open_to)
    return UncertainPixels(
        coarse=Prediction(probs[:, None], probs.argmax(dim=0)[None]),
        truth=torch.as_tensor(truth),
        candidates=list(range(classes)),
        open_to=opened,
        errors=errors,
        certain_areas=torch.zeros(3, classes, dtype=torch.long),
        certain_probs=torch.zeros(classes),
    )


def random_probs(classes: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """(C, P) unsure scores."""
    return torch.randn(classes, count, generator=generator).softmax(dim=0)
