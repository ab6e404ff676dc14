import math

import pytest
import torch

from mmseg_g4seg.ops.posterior import (
    average_boxes,
    bound_errors,
    mix_foreground_probs,
    posterior_probs,
    shift_proportions,
    weigh_candidates,
)


def test_mixing_agrees_with_a_plain_loop():
    probs, matched = torch.rand(2, 5, 6), torch.rand(2, 5, 6)
    expected = probs.clone()
    for k in range(2):
        for y in range(5):
            for x in range(6):
                if 0.2 <= probs[k, y, x] <= 0.6:
                    expected[k, y, x] = 0.8 * probs[k, y, x] + 0.2 * matched[k, y, x]
    torch.testing.assert_close(mix_foreground_probs(probs, matched, 0.8, (0.2, 0.6)), expected)


@pytest.mark.parametrize('beta', [0.0, 1.0])
def test_ends_of_beta(beta):
    probs, matched = torch.full((1, 2, 2), 0.4), torch.full((1, 2, 2), 0.9)
    assert mix_foreground_probs(probs, matched, beta, (0.2, 0.6)).unique().item() == pytest.approx(0.4 if beta else 0.9)


def test_certain_pixels_do_not_move():
    probs = torch.tensor([[[0.1, 0.19, 0.61, 0.95]]])
    assert torch.equal(mix_foreground_probs(probs, torch.ones_like(probs), 0.5, (0.2, 0.6)), probs)


def test_posterior_known_values():
    probs, errors = torch.tensor([0.3, 0.2]), torch.tensor([1.0, 0.5])
    low, high = 0.3 * math.exp(-2.0), 0.2 * math.exp(-1.0)
    expected = torch.tensor([low, high]) / (low + high) * 0.5
    torch.testing.assert_close(posterior_probs(probs, errors, 2.0), expected)


def test_posterior_without_evidence_is_the_prior():
    probs = torch.rand(3, 4, 4)
    torch.testing.assert_close(posterior_probs(probs, torch.rand(3, 4, 4), 0.0), probs)


def test_posterior_survives_large_errors():
    posterior = posterior_probs(torch.tensor([0.5, 0.5]), torch.tensor([1e4, 2e4]), 100.0)
    assert torch.isfinite(posterior).all()
    assert posterior.tolist() == [1.0, 0.0]


def test_a_closed_candidate_has_no_say_whatever_its_error():
    probs, errors = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.9, 0.91, 0.0])
    opened = torch.tensor([True, True, False])
    weighed = weigh_candidates(probs, opened, errors, 100.0)
    torch.testing.assert_close(weighed[:2], posterior_probs(probs[:2], errors[:2], 100.0))
    assert float(weighed[:2].sum()) == pytest.approx(0.8)
    assert torch.equal(weigh_candidates(probs, ~opened & ~opened.flip(0), errors, 100.0), probs), 'none is open'


def test_proportions_of_a_part_of_an_image():
    generator = torch.Generator().manual_seed(0)
    probs = torch.randn(3, 2, 5, generator=generator).softmax(dim=0)
    posterior = torch.randn(3, 2, 5, generator=generator).softmax(dim=0)
    posterior[..., 3:] = probs[..., 3:]
    open_to = torch.ones(3, 2, 5, dtype=torch.bool)
    open_to[..., 3:] = False
    whole = shift_proportions(probs, posterior, open_to)
    part = shift_proportions(probs[..., :3], posterior[..., :3], open_to[..., :3], probs[..., 3:].sum(dim=(1, 2)))
    torch.testing.assert_close(part, whole[..., :3])


def test_bounded_errors_agree_with_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    errors = torch.rand(3, 7, generator=generator)
    open_to = torch.rand(3, 7, generator=generator) < 0.7
    bounded = bound_errors(errors, open_to, 0.05)
    for p in range(7):
        candidates = [float(errors[c, p]) for c in range(3) if open_to[c, p]]
        mean = sum(candidates) / len(candidates) if candidates else 0.0
        for c in range(3):
            expected = 0.05 * math.tanh((float(errors[c, p]) - mean) / 0.05)
            assert float(bounded[c, p]) == pytest.approx(expected, abs=1e-6)


def test_a_wide_bound_changes_no_posterior():
    probs, errors = torch.rand(3, 5), torch.rand(3, 5)
    bounded = bound_errors(errors, torch.ones(3, 5).bool(), 1e4)
    torch.testing.assert_close(posterior_probs(probs, bounded, 5.0), posterior_probs(probs, errors, 5.0))


def test_shifted_proportions_known_values():
    probs = torch.tensor([[[0.5, 0.4, 0.9]], [[0.5, 0.4, 0.1]]])
    posterior = torch.tensor([[[0.8, 0.5, 0.9]], [[0.2, 0.3, 0.1]]])
    open_to = torch.tensor([True, True, False]).expand(2, 1, 3)
    shifted = shift_proportions(probs, posterior, open_to)
    growth = torch.tensor([2.2 / 1.8, 0.6 / 1.0])
    for pixel, total in ((0, 1.0), (1, 0.8)):
        weighed = posterior[:, 0, pixel] * growth
        torch.testing.assert_close(shifted[:, 0, pixel], weighed / weighed.sum() * total)
    assert torch.equal(shifted[..., 2], posterior[..., 2]), 'a closed pixel stays'


def test_proportions_that_stay_shift_nothing():
    probs = torch.tensor([[[0.7, 0.3]], [[0.3, 0.7]]])
    posterior = probs.flip(-1)
    torch.testing.assert_close(shift_proportions(probs, posterior, torch.ones(2, 1, 2).bool()), posterior)


def test_proportions_where_a_class_vanishes_or_was_never_there():
    probs = torch.tensor([[[0.6, 0.5]], [[0.4, 0.5]], [[0.0, 0.0]]])
    posterior = torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]]])
    shifted = shift_proportions(probs, posterior, torch.ones(3, 1, 2).bool())
    torch.testing.assert_close(shifted, posterior)


def test_closed_candidates_neither_give_nor_take():
    probs, errors = torch.tensor([[0.5], [0.3], [0.2]]), torch.tensor([[0.1], [0.2], [0.0]])
    weighed = weigh_candidates(probs, torch.tensor([[True], [True], [False]]), errors, 10.0)
    torch.testing.assert_close(weighed[:2], posterior_probs(probs[:2], errors[:2], 10.0))
    assert weighed[2] == probs[2]


def test_boxes_of_several_sides():
    maps = torch.rand(2, 9, 11)
    averaged = average_boxes(maps, (1, 5))
    torch.testing.assert_close(averaged[:, 4, 5], (maps[:, 4, 5] + maps[:, 2:7, 3:8].mean((1, 2))) / 2)
    torch.testing.assert_close(averaged[:, 0, 0], (maps[:, 0, 0] + maps[:, :3, :3].mean((1, 2))) / 2)
