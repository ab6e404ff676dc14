"""The loop of a training, killed and taken up again."""

import math
from contextlib import suppress

import pytest
import torch

from projects.train_prior.loop import train


def test_a_killed_loop_goes_on(tmp_path):
    """Killed in its sixth step of eight, states saved every second: it goes on from the fifth, to the same weights."""

    def run(folder, kill_at=None):
        torch.manual_seed(0)
        network, drawn = torch.nn.Linear(3, 1), []

        def loss(generator):
            drawn.append(generator.initial_seed())
            if len(drawn) == kill_at:
                raise KeyboardInterrupt
            x = torch.randn(8, 3, generator=generator)
            return (network(x) - x.sum(dim=1, keepdim=True)).square().mean()

        folder.mkdir(exist_ok=True)
        options = dict(steps=8, learning_rate=0.1, folder=folder, name='line', save_every=2, warm_up=2)
        with suppress(KeyboardInterrupt):
            train(network, loss, report=lambda _: {}, report_every=1, **options)
        return network.weight.detach().clone(), drawn

    undisturbed, all_draws = run(tmp_path / 'undisturbed')
    _, first_draws = run(tmp_path / 'killed', kill_at=6)
    resumed, last_draws = run(tmp_path / 'killed')
    # the fifth step was logged before the kill, and is taken again; the running loss has no jump there
    assert (tmp_path / 'killed/line_log.csv').read_bytes() == (tmp_path / 'undisturbed/line_log.csv').read_bytes()
    assert first_draws == all_draws[:6]
    assert last_draws == all_draws[4:]
    torch.testing.assert_close(resumed, undisturbed, atol=1e-7, rtol=0)


def test_loop_learns(tmp_path):
    network = torch.nn.Linear(3, 1)
    target = torch.tensor([[1.0, -2.0, 0.5]])

    def loss(generator):
        x = torch.randn(32, 3, generator=generator)
        return (network(x) - x @ target.T).square().mean()

    def report(step):
        return {'distance': float((network.weight - target).abs().max())}

    train(network, loss, steps=600, learning_rate=0.05, folder=tmp_path, name='line', report=report, report_every=200)
    assert (network.weight - target).abs().max() < 0.05


def test_minutes_count_over_calls_and_the_rate_falls_with_them(tmp_path, monkeypatch):
    """A training of an hour ends its cosine after that hour, whatever number of steps it was given."""
    now, rates = [0.0], []
    monkeypatch.setattr('projects.train_prior.loop.time.monotonic', lambda: now[0])
    network = torch.nn.Linear(1, 1, bias=False)
    own = torch.optim.AdamW.step

    def step(optimizer, *args):
        rates.append(optimizer.param_groups[0]['lr'])
        now[0] += 600.0
        return own(optimizer, *args)

    monkeypatch.setattr(torch.optim.AdamW, 'step', step)
    options = dict(steps=10**6, learning_rate=1.0, folder=tmp_path, name='line', report=lambda _: {}, warm_up=1)
    train(network, lambda _: network.weight.sum(), max_minutes=25, **options)
    assert len(rates) == 3, 'the third ends after the limit'
    train(network, lambda _: network.weight.sum(), max_minutes=60, **options)
    assert len(rates) == 7, 'half of the hour was spent before'
    again = torch.nn.Linear(1, 1, bias=False)
    train(again, lambda _: again.weight.sum(), max_minutes=60, **options)
    assert len(rates) == 7, 'the hour is over'
    torch.testing.assert_close(again.weight, network.weight)
    expected = [0.55 + 0.45 * math.cos(math.pi * share) for share in (0, 0.4, 0.8, 1 / 2, 4 / 6, 5 / 6, 1)]
    assert rates == pytest.approx(expected)
