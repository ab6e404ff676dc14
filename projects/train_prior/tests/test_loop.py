"""The loop of a training, killed and taken up again."""

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
        try:
            train(network, loss, report=lambda _: {}, **options)
        except KeyboardInterrupt:
            return None, drawn
        return network.weight.detach().clone(), drawn

    undisturbed, all_draws = run(tmp_path / 'undisturbed')
    _, first_draws = run(tmp_path / 'killed', kill_at=6)
    resumed, last_draws = run(tmp_path / 'killed')
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
