import pytest
import torch

from projects.experiments.limits.prior_knowledge import count_right, summarise_knowledge
from projects.experiments.limits.shares import gain_with_interval, share_with_interval
from projects.experiments.tests.synthetic_pixels import make_pixels, random_probs

PIXELS = 400


def scene(seed=0):
    """Scores of three classes, and a truth that is the best or the second best at random."""
    generator = torch.Generator().manual_seed(seed)
    probs = random_probs(3, PIXELS, generator)
    order = probs.argsort(dim=0, descending=True)
    second = torch.rand(PIXELS, generator=generator) < 0.3
    return probs, torch.where(second, order[1], order[0]), int((~second).sum())


class TestCountRight:
    def test_a_prior_that_always_knows(self):
        probs, truth, coarse_right = scene()
        errors = torch.ones(3, PIXELS).scatter(0, truth[None], 0.0)
        counts = count_right(make_pixels(probs, errors, truth), sharpness=1e4)
        assert counts == {
            'uncertain': PIXELS,
            'best_two': PIXELS,
            'asked': PIXELS,
            'coarse': coarse_right,
            'prior': PIXELS,
            'together': PIXELS,
        }

    def test_a_prior_that_never_knows(self):
        probs, truth, coarse_right = scene()
        errors = torch.zeros(3, PIXELS).scatter(0, truth[None], 1.0)
        counts = count_right(make_pixels(probs, errors, truth), sharpness=1e4)
        assert (counts['prior'], counts['together'], counts['coarse']) == (0, 0, coarse_right)

    def test_without_sharpness_the_coarse_scores_decide(self):
        probs, truth, coarse_right = scene()
        errors = torch.zeros(3, PIXELS).scatter(0, truth[None], 1.0)
        assert count_right(make_pixels(probs, errors, truth), sharpness=0.0)['together'] == coarse_right

    def test_two_pixels_by_hand(self):
        """log(0.5 / 0.3) = 0.51: an error 0.1 lower turns it at sharpness 6, not at 5."""
        pixels = make_pixels([[0.5, 0.5], [0.3, 0.3], [0.2, 0.2]], [[0.3, 0.2], [0.2, 0.3], [0.0, 0.0]], [1, 1])
        assert count_right(pixels, 5.0) == dict(uncertain=2, best_two=2, asked=2, coarse=0, prior=1, together=0)
        assert count_right(pixels, 6.0)['together'] == 1

    def test_who_is_not_asked(self):
        """The truth is third; the second best is not open; and one that is asked."""
        probs = [[0.5, 0.5, 0.5], [0.3, 0.3, 0.3], [0.2, 0.2, 0.2]]
        open_to = [[True, True, True], [True, False, True], [True, True, True]]
        pixels = make_pixels(probs, torch.zeros(3, 3), [2, 0, 0], open_to=open_to)
        counts = count_right(pixels, 20.0)
        assert (counts['uncertain'], counts['best_two'], counts['asked'], counts['coarse']) == (3, 2, 1, 1)

    def test_no_pixel(self):
        counts = count_right(make_pixels(torch.zeros(3, 0), torch.zeros(3, 0), torch.zeros(0).long()), 20.0)
        assert set(counts.values()) == {0}
        assert summarise_knowledge([counts])['share']['prior']['share'] is None


class TestShares:
    def test_by_hand(self):
        right, total = torch.tensor([1, 3, 0]), torch.tensor([2, 4, 10])
        found = share_with_interval(right, total)
        assert found['share'] == 25
        assert 0 <= found['low'] < 25 < found['high'] <= 75
        assert share_with_interval(right[1:2], total[1:2]) == {'share': 75, 'low': None, 'high': None}

    def test_sure_answers_have_no_spread(self):
        total = torch.tensor([2, 4, 10])
        assert share_with_interval(total, total) == pytest.approx({'share': 100, 'low': 100, 'high': 100})
        half = total // 2
        assert gain_with_interval(half, total, total) == pytest.approx({'share': 50, 'low': 50, 'high': 50})
        assert gain_with_interval(total, half, total) == pytest.approx({'share': -50, 'low': -50, 'high': -50})

    def test_pairs_are_kept(self):
        """Images differ widely, the gain in each is the same: unpaired, its interval would be wide."""
        total = torch.full((20,), 100)
        before = torch.linspace(0, 90, 20).long()
        found = gain_with_interval(before, before + 5, total)
        assert (found['low'], found['high']) == pytest.approx((5, 5))

    def test_summary(self):
        counts = [dict(uncertain=9, best_two=8, asked=4, coarse=c, prior=1, together=c + 1) for c in (2, 3)]
        found = summarise_knowledge(counts)
        assert (found['uncertain'], found['best_two'], found['asked']) == (18, 16, 8)
        assert {name: share['share'] for name, share in found['share'].items()} == pytest.approx(
            {'coarse': 62.5, 'prior': 25, 'together': 87.5}
        )
        assert found['gain']['share'] == pytest.approx(25)
