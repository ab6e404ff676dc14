"""What a step asks: the same draws in any process and on any device; and a step that waits for no device."""

from dataclasses import replace

import pytest
import torch
from torch._subclasses import FakeTensorMode

from mmseg_g4seg.diffusion.named import EMBEDDED_PRIORS
from projects.demo.scenes.compose import CLASSES
from projects.train_prior.architecture import PriorParts
from projects.train_prior.denoiser import Denoiser, DenoiserSettings
from projects.train_prior.doubts import DoubtSettings, draw_doubts
from projects.train_prior.draws import DOUBT_TIMESTEPS, Drawer, Drawn
from projects.train_prior.loop import drawing_processes, train
from tests.fake_gpu import Copies, on_a_fake_gpu

SHARES = (0.1, 0.1, 0.4, 0.4)


@pytest.fixture(scope='module')
def parts():
    return PriorParts.load(EMBEDDED_PRIORS['tiny'])


def same(one, other):
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(one, other, strict=True))


def test_draws_are_in_the_order_that_trainings_began_with(latents, parts):
    """Written out: a training that goes on, or is repeated, must draw what it drew."""
    asked = Drawer(parts, CLASSES).step(
        latents, torch.Generator().manual_seed(5), batch_size=8, shares=SHARES, doubts=DoubtSettings(0.2)
    )
    generator = torch.Generator().manual_seed(5)
    batch = latents.draw(2, SHARES, generator)
    timesteps, noise = torch.randint(1000, (2,), generator=generator), torch.randn(2, 4, 16, 16, generator=generator)
    doubts = draw_doubts(latents, 3, generator, None, 0.6)
    doubt_timesteps = torch.randint(*DOUBT_TIMESTEPS, (3,), generator=generator)
    doubt_noise = torch.randn(3, 4, 16, 16, generator=generator)
    plain, doubted = asked
    assert torch.equal(plain.latents, batch.latents)
    assert torch.equal(plain.timesteps, timesteps)
    assert torch.equal(plain.noise, noise)
    assert torch.equal(plain.region_masks, batch.region_masks)
    assert torch.equal(plain.alphas, parts.scheduler.alphas_cumprod[timesteps])
    assert torch.equal(doubted.timesteps, doubt_timesteps.repeat(2))
    assert torch.equal(doubted.noise, doubt_noise.repeat(2, 1, 1, 1))
    assert torch.equal(doubted.region_masks[3:], doubts.second.region_masks)
    assert torch.equal(doubted.truth, doubts.truth)
    assert (plain.weight, doubted.weight) == (1.0, 0.2)


def test_the_share_of_doubts(latents, parts):
    def sizes(share, batch_size=16):
        doubts = DoubtSettings(0.2, share=share)
        drawer, generator = Drawer(parts, CLASSES), torch.Generator().manual_seed(0)
        asked = drawer.step(latents, generator, batch_size=batch_size, shares=SHARES, doubts=doubts)
        return [len(drawn.latents) for drawn in asked]

    assert sizes(0.75) == [4, 12]
    assert sizes(0.5) == [8, 8]
    assert sizes(0.75, batch_size=10) == [2, 6]
    with pytest.raises(ValueError, match='share: expected a share in'):
        DoubtSettings(0.2, share=1.0)


def test_other_processes_draw_the_same(latents, parts, tmp_path):
    drawer = Drawer(parts, CLASSES)

    def drawn(workers):
        network, seen = torch.nn.Linear(1, 1), []

        def draw(generator):
            return drawer.step(latents, generator, batch_size=4, shares=SHARES, doubts=DoubtSettings(0.2))

        def loss(asked):
            seen.append(asked)
            return network.weight.sum()

        options = dict(steps=3, learning_rate=0.1, name='line', report=lambda _: {}, seed=7)
        folder = tmp_path / str(workers)
        folder.mkdir()
        train(network, loss, draw=draw, workers=workers, folder=folder, **options)
        return seen

    ours, theirs = drawn(0), drawn(2)
    assert len(ours) == len(theirs) == 3
    assert all(same(a, b) for one, other in zip(ours, theirs, strict=True) for a, b in zip(one, other, strict=True))


def test_a_cpu_draws_for_itself():
    assert drawing_processes('cpu') == 0


def test_a_step_on_a_gpu_waits_for_nothing(latents, parts):
    """On a GPU that is not there: the devices fit, and nothing is copied that the host would wait for."""
    settings = DenoiserSettings(batch_size=4, doubts=DoubtSettings(0.2, share=0.5))
    denoiser = Denoiser(parts, CLASSES, settings)
    drawn = denoiser.draw(latents, torch.Generator().manual_seed(0))
    # forward alone: the backward pass needs a real device
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        placed = on_a_fake_gpu(denoiser, fake)
        placed.settings = replace(settings, device='cuda:0')
        asked = [Drawn(*(fake.from_tensor(v) if isinstance(v, torch.Tensor) else v for v in step)) for step in drawn]
        with Copies() as copies:
            loss = placed.loss(asked)
    assert loss.device.type == 'cuda'
    assert copies.found == []
