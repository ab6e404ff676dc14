"""Does the prior know? Who picks the true one of the coarse model's two best classes, where it is unsure.

Shapes: N images, P uncertain labelled pixels of one.
"""

from collections.abc import Sequence
from typing import Any

import torch

from mmseg_g4seg.ops.posterior import bound_errors

from .shares import gain_with_interval, share_with_interval
from .uncertain_pixels import UncertainPixels

ANSWERS = ('coarse', 'prior', 'together')


def count_right(pixels: UncertainPixels, sharpness: float, bound: float | None = None) -> dict[str, int]:
    """Counts the labelled pixels of one image where each picks the true one of the two best classes.

    Only pixels count where the truth is one of the two and the prior was asked about both. Ties go to
    the coarse model's best.

    Args:
        pixels: of the image.
        sharpness: of the likelihood, for the two together, and
        bound: on it; class proportions are left out of account.

    Returns:
        `uncertain` pixels, those where the truth is among the `best_two`, those `asked`, and of these
        the right picks of `coarse` (the higher probability), `prior` (the lower error) and `together`.
    """
    pixels = pixels.labelled()
    probs, classes = pixels.coarse.probs[:, 0].topk(2, dim=0)  # (2, P) twice
    best_two = (classes == pixels.truth).any(dim=0)
    rows = torch.stack([pixels.rows_of(c) for c in classes])
    asked = best_two & (rows >= 0).all(dim=0)
    errors = pixels.errors.double()
    if bound is not None and sharpness > 0:
        errors = bound_errors(errors, pixels.open_to, bound / sharpness)
    errors = errors[:, asked].gather(0, rows[:, asked])
    log_probs = probs[:, asked].double().log()
    true_first = classes[0, asked] == pixels.truth[asked]
    prefers_first = {
        'coarse': torch.ones_like(true_first),
        'prior': errors[0] <= errors[1],
        'together': log_probs[0] - sharpness * errors[0] >= log_probs[1] - sharpness * errors[1],
    }
    right = {name: int((first == true_first).sum()) for name, first in prefers_first.items()}
    return {'uncertain': len(best_two), 'best_two': int(best_two.sum()), 'asked': int(asked.sum()), **right}


def summarise_knowledge(counts: Sequence[dict[str, int]]) -> dict[str, Any]:
    """Sums N images' counts, and gives shares of the pixels asked, in per cent with 95 % intervals.

    Returns:
        The pixels summed, `share` of each of `ANSWERS`, and `gain` of the two together over the coarse
        scores alone.
    """
    columns = {name: torch.tensor([image[name] for image in counts]) for name in counts[0]}
    asked = columns['asked']
    return {
        **{name: int(columns[name].sum()) for name in ('uncertain', 'best_two', 'asked')},
        'share': {name: share_with_interval(columns[name], asked) for name in ANSWERS},
        'gain': gain_with_interval(columns['coarse'], columns['together'], asked),
    }
