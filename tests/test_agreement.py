import math

import pytest
import torch

from mmseg_g4seg.agreement import STEPS, agreeing_sharpness


def _by_hand(probs, open_to, errors, sharpness):
    """Mean log(sum of p q) over the pixels with a choice, one pixel at a time."""
    total, pixels = 0.0, 0
    for p in range(probs.shape[1]):
        candidates = [c for c in range(len(probs)) if open_to[c, p]]
        if len(candidates) < 2:
            continue
        weights = {c: math.exp(-sharpness * float(errors[c, p])) for c in candidates}
        both = sum(float(probs[c, p]) * weights[c] for c in candidates) / sum(weights.values())
        total, pixels = total + math.log(both), pixels + 1
    return total / pixels


@pytest.mark.parametrize('seed', range(6))
def test_it_is_the_best_of_the_steps_by_hand(seed):
    generator = torch.Generator().manual_seed(seed)
    probs = torch.rand(3, 40, generator=generator).softmax(dim=0)
    errors = torch.rand(3, 40, generator=generator) - 0.5 * probs
    open_to = torch.rand(3, 40, generator=generator) < 0.8
    steps = [10.0 * k / STEPS for k in range(STEPS + 1)]
    best = max(steps, key=lambda s: _by_hand(probs, open_to, errors, s))
    assert agreeing_sharpness(probs, open_to, errors, 10.0) == pytest.approx(best)


def test_a_prior_that_agrees_everywhere_is_believed_to_the_full():
    probs = torch.tensor([[0.6, 0.3], [0.4, 0.7]]).reshape(2, 1, 2)
    assert agreeing_sharpness(probs, torch.ones(2, 1, 2).bool(), 1 - probs, 20.0) == 20.0


def test_a_prior_that_contradicts_everywhere_is_not_believed():
    probs = torch.tensor([[0.6, 0.3], [0.4, 0.7]])
    assert agreeing_sharpness(probs, torch.ones(2, 2).bool(), probs, 20.0) == 0.0


def test_pixels_without_a_choice_have_no_say():
    probs, errors = torch.tensor([[0.6, 0.1], [0.4, 0.9]]), torch.tensor([[0.1, 0.0], [0.2, 9.0]])
    open_to = torch.tensor([[True, True], [True, False]])
    assert agreeing_sharpness(probs, open_to, errors, 5.0) == 5.0
    assert agreeing_sharpness(probs[:, 1:], open_to[:, 1:], errors[:, 1:], 5.0) == 0.0


def test_many_pixels_are_thinned_out():
    probs = torch.tensor([0.55, 0.45])[:, None].expand(2, 100_000)
    errors = torch.tensor([0.0, 1.0])[:, None].expand(2, 100_000)
    assert agreeing_sharpness(probs, torch.ones(2, 100_000).bool(), errors, 3.0) == 3.0


def test_a_coarse_probability_of_zero():
    probs = torch.tensor([[0.0], [1.0]])
    assert agreeing_sharpness(probs, torch.ones(2, 1).bool(), torch.tensor([[1.0], [0.0]]), 4.0) == 4.0
