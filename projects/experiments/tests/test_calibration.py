import pytest
import torch

from mmseg_g4seg.ops.posterior import posterior_probs, weigh_candidates
from projects.experiments.limits.calibration import LARGEST, calibrate, find_choices
from projects.experiments.limits.measure import calibrate_folds
from projects.experiments.tests.synthetic_pixels import make_pixels, random_probs

PIXELS = 20000


def sampled(sharpness, seed=0, count=PIXELS, bound=None):
    """Pixels whose truth is drawn from the posterior at a sharpness."""
    generator = torch.Generator().manual_seed(seed)
    probs = random_probs(3, count, generator)
    errors = torch.rand(3, count, generator=generator) * 0.1
    posterior = weigh_candidates(probs, torch.ones_like(probs, dtype=torch.bool), errors, sharpness, bound)
    truth = torch.multinomial(posterior.T, 1, generator=generator)[:, 0]
    return make_pixels(probs, errors, truth)


class TestCalibrate:
    @pytest.mark.parametrize('sharpness', [15.0, 60.0])
    def test_finds_the_sharpness_of_the_data(self, sharpness):
        images = [find_choices(sampled(sharpness, seed)) for seed in range(3)]
        assert calibrate(images) == pytest.approx(sharpness, rel=0.05)

    def test_finds_it_under_a_bound(self):
        images = [find_choices(sampled(40.0, seed, bound=0.5), 0.5) for seed in range(3)]
        assert calibrate(images) == pytest.approx(40.0, rel=0.1)

    def test_is_the_maximum(self):
        choices = find_choices(sampled(25.0))
        best = calibrate([choices])
        for other in (0.0, 0.97 * best, 1.03 * best, 4 * best):
            assert choices.log_likelihood(best) > choices.log_likelihood(other)

    def test_a_prior_that_is_wrong_gets_no_say_and_one_that_is_right_the_last(self):
        probs, truth = torch.full((2, 4), 0.5), torch.tensor([0, 1, 0, 1])
        wrong = torch.zeros(2, 4).scatter(0, truth[None], 1.0)
        assert calibrate([find_choices(make_pixels(probs, wrong, truth))]) == 0
        right = find_choices(make_pixels(probs, (1 - wrong) / 1000, truth))
        assert right.log_likelihood(calibrate([right])) == right.log_likelihood(LARGEST) == 0
        assert calibrate([find_choices(make_pixels(probs, (1 - wrong) / 1e7, truth))]) == LARGEST

    def test_nothing_to_calibrate_on(self):
        closed = make_pixels([[0.6], [0.4]], [[0.1], [0.2]], [1], open_to=[[True], [False]])
        with pytest.raises(ValueError, match='expected uncertain pixels with a choice'):
            calibrate([find_choices(closed)])


class TestChoices:
    def test_log_likelihood_is_the_posteriors(self):
        pixels = sampled(10.0, count=50)
        posterior = posterior_probs(pixels.coarse.probs[:, 0].double(), pixels.errors.double(), 30.0)
        expected = posterior.gather(0, pixels.truth[None]).log().sum()
        assert find_choices(pixels).log_likelihood(30.0) == pytest.approx(float(expected), rel=1e-6)

    def test_bounded_log_likelihood_is_the_bounded_posteriors(self):
        pixels = sampled(10.0, count=50)
        opened = torch.ones_like(pixels.open_to)
        posterior = weigh_candidates(pixels.coarse.probs[:, 0].double(), opened, pixels.errors.double(), 30.0, 0.2)
        expected = posterior.gather(0, pixels.truth[None]).log().sum()
        assert find_choices(pixels, 0.2).log_likelihood(30.0) == pytest.approx(float(expected), rel=1e-6)
        assert find_choices(pixels, 0.2).log_likelihood(30.0) != find_choices(pixels).log_likelihood(30.0)

    def test_only_pixels_with_a_choice_that_can_be_right(self):
        """Of four: a choice of two; the truth closed; nothing but the truth open; a choice of three."""
        open_to = [[True, True, True, True], [True, True, False, True], [False, False, False, True]]
        pixels = make_pixels(torch.full((3, 4), 1 / 3), torch.zeros(3, 4), [0, 2, 0, 2], open_to=open_to)
        choices = find_choices(pixels)
        assert choices.true_row.tolist() == [0, 2]
        expected = torch.log(torch.tensor([1 / 2, 1 / 3], dtype=torch.float64)).sum()
        assert choices.log_likelihood(7.0) == pytest.approx(float(expected))


class TestFolds:
    def test_a_side_without_a_choice_keeps_the_configs_sharpness(self):
        closed = make_pixels([[0.6], [0.4]], [[0.1], [0.2]], [1], open_to=[[True], [False]])
        assert calibrate_folds({'a': closed, 'b': sampled(10.0, count=9)}, [(['a'], ['b'])], 20.0)['sharpness'] == [20]

    def test_fitted_on_one_side_reported_on_the_other(self):
        pixels = {'a': sampled(40.0, 0), 'b': sampled(10.0, 1)}
        found = calibrate_folds(pixels, [(['a'], ['b']), (['b'], ['a'])], 20.0)
        assert found['sharpness'] == pytest.approx([40, 10], rel=0.1)
        assert found['pixels'] == 2 * PIXELS
        choices = {name: find_choices(image) for name, image in pixels.items()}
        low, high = found['sharpness'][1], found['sharpness'][0]
        crossed = choices['b'].log_likelihood(high) + choices['a'].log_likelihood(low)
        assert found['calibrated'] == pytest.approx(crossed / (2 * PIXELS))
        assert found['at_zero'] == pytest.approx(sum(c.log_likelihood(0) for c in choices.values()) / (2 * PIXELS))
        assert found['at_config'] == pytest.approx(sum(c.log_likelihood(20) for c in choices.values()) / (2 * PIXELS))
