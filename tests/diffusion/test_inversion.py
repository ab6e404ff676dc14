import math
from pathlib import Path

import pytest
import torch

from mmseg_g4seg.diffusion.inversion import (
    LOSS_SLACK,
    InversionSettings,
    Sampler,
    _optimise_step,
    guide,
    invert,
    optimise_empty_prompts,
    reconstruct,
)
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.prediction import add_noise, predict_noise, predict_x0
from mmseg_g4seg.io.images import read_image
from tests.conftest import as_prior, build_random_parts
from tests.diffusion.injections import inject

TEMPLATE = 'a photo of {name}'


def latents(batch=2, seed=0):
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def sampler(prior, count=2, **settings):
    prompts = prior.encode_prompts([['sky'], ['hot air balloon']][:count], TEMPLATE)
    empty = prior.empty_prompts(count)
    return Sampler(prior, prompts, empty, InversionSettings(**{'steps': 4, 'guidance_scale': 3.0, **settings}))


@torch.no_grad()
def generate(sampler, noisy, empties):
    """Latents at every timestep, ascending, on the way from the last one to clean ones."""
    path = []
    for place in reversed(range(sampler.settings.steps)):
        output = sampler.guided(noisy, sampler.timesteps[place], empties[place], None)
        path.append(noisy := sampler.step(noisy, output, place))
    return path[::-1]


@pytest.mark.parametrize('kind', ['epsilon', 'v_prediction', 'flow_prediction', 'sample'])
def test_the_two_predictions_make_up_the_latents(kind):
    noisy, output = latents(seed=1), latents(seed=2)
    clean, noise = (f(output, noisy, 0.3, kind) for f in (predict_x0, predict_noise))
    torch.testing.assert_close(add_noise(clean, noise, 0.3, kind), noisy)


@pytest.mark.parametrize('kind', ['epsilon', 'v_prediction'])
def test_steps_are_those_of_the_ddim_scheduler(kind):
    from diffusers import DDIMScheduler

    prior = as_prior(build_random_parts(kind))
    own = sampler(prior, steps=5)
    scheduler = DDIMScheduler.from_config(
        prior.scheduler.config, timestep_spacing='trailing', set_alpha_to_one=True, clip_sample=False
    )
    scheduler.set_timesteps(5)
    assert scheduler.timesteps.tolist() == own.timesteps[::-1]
    noisy, output = latents(), latents(seed=3)
    for place in (4, 2, 0):
        expected = scheduler.step(output, own.timesteps[place], noisy).prev_sample
        torch.testing.assert_close(own.step(noisy, output, place), expected, atol=1e-5, rtol=1e-4)


def test_guidance():
    empty, named = latents(), latents(seed=1)
    torch.testing.assert_close(guide(empty, named, 1.0), named)
    torch.testing.assert_close(guide(empty, named, 0.0), empty)
    torch.testing.assert_close(guide(empty, named, 3.0) - named, 2 * (named - empty))


class TestReconstructing:
    def test_trajectory_starts_clean_and_ends_noisy(self, prior):
        trajectory = invert(sampler(prior), latents())
        assert len(trajectory) == 5
        assert torch.equal(trajectory[0], latents())

    def test_images_of_a_batch_do_not_touch_each_other(self, prior):
        settings = dict(tolerance=0.0, inner_steps=2)
        together = reconstruct(sampler(prior, **settings), latents())
        alone = reconstruct(sampler(prior, 1, **settings), latents()[:1])
        torch.testing.assert_close(together[:1], alone, atol=1e-3, rtol=1e-3)

    def test_the_mask_goes_into_every_step_of_generation(self, prior):
        asked, own = [], sampler(prior, inner_steps=1)

        def injection(timestep):
            asked.append(timestep)
            return inject(torch.ones(2, 1, 8, 8), own.prompts.token_masks)

        plain, injected = reconstruct(own, latents()), reconstruct(own, latents(), injection)
        assert asked == own.timesteps[::-1]
        assert not torch.allclose(plain, injected)

    def test_the_mask_goes_into_the_pass_that_has_the_prompt(self, prior):
        own = sampler(prior, guidance_scale=3.0)
        injection = inject(torch.ones(2, 1, 8, 8), own.prompts.token_masks)
        plain, injected = (prior.denoise(latents(), 999, own.prompts, i) for i in (None, injection))
        moved = own.guided(latents(), 999, own.empty, injection) - own.guided(latents(), 999, own.empty, None)
        torch.testing.assert_close(moved, 3 * (injected - plain), atol=1e-5, rtol=1e-4)

    def test_weights_get_no_gradient(self, prior):
        reconstruct(sampler(prior, inner_steps=1), latents())
        assert all(p.grad is None for p in prior.unet.parameters())


class TestNullText:
    def test_stops_early_where_guidance_does_no_harm(self, prior):
        own = sampler(prior, tolerance=1e9)
        assert optimise_empty_prompts(own, invert(own, latents()))[1].tolist() == [[0, 0]] * 4
        unguided = sampler(prior, guidance_scale=1.0, inner_steps=3)
        embeds = optimise_empty_prompts(unguided, invert(unguided, latents()))[0]
        assert all(torch.equal(e.embeds, unguided.empty.embeds) for e in embeds), 'nothing to learn'

    def test_takes_all_its_steps_where_nothing_is_enough(self, prior):
        own = sampler(prior, tolerance=-1.0, inner_steps=2)
        assert optimise_empty_prompts(own, invert(own, latents()))[1].tolist() == [[2, 2]] * 4

    def test_under_inference_mode(self, prior):
        own = sampler(prior)
        with torch.inference_mode(), pytest.raises(RuntimeError, match=r'expected torch\.no_grad'):
            reconstruct(own, latents())

    def test_an_image_stops_on_its_own(self, prior):
        """One far from its trajectory goes on, one that is on it stops at once."""
        own = sampler(prior, guidance_scale=1.0, inner_steps=3, steps=1, tolerance=1e-6)
        trajectory = invert(own, latents())
        output = own.guided(trajectory[1], own.timesteps[0], own.empty, None)
        trajectory[0] = own.step(trajectory[1], output, 0)
        trajectory[0][1] += 1
        assert optimise_empty_prompts(own, trajectory)[1].tolist() == [[0, 3]]

    def test_float16_moves_embeddings_as_float32_does(self, prior_folder):
        """Gradients of a mean over latents are too small for float16: most were 0, and the rest noise."""
        moves = []
        for dtype in ('float32', 'float16'):
            own = sampler(load_prior(prior_folder, dtype=dtype), 1, inner_steps=1, steps=50, tolerance=0.0)
            clean = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
            trajectory = [clean, *(own.prior.add_noise(clean, clean.flip(-1), t) for t in own.timesteps[:3])]
            with torch.no_grad():
                reached = own.step(trajectory[3], own.guided(trajectory[3], own.timesteps[2], own.empty, None), 2)
            # as near as after some steps of optimisation
            target = reached + 0.003 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
            embeds = own.empty.embeds.float()
            with torch.no_grad():  # as a refiner calls it
                found = _optimise_step(own, trajectory[3], target, 2, embeds, rate=1e-2, enough=0.0)[0]
            moves.append(found - embeds)
        assert torch.cosine_similarity(*(move.flatten() for move in moves), dim=0) > 0.98

    @pytest.fixture(scope='class')
    def trained(self):
        """The embedded prior and an image of its own kind: its trajectory, and the empty prompts that lead back."""
        prior = load_prior('tiny')
        image = read_image(Path(__file__).with_name('scene.png'))
        clean = prior.encode_images(image[None, :, :32, :32])
        prompts, empty = prior.encode_prompts([['grass']], TEMPLATE), prior.empty_prompts(1)
        own = Sampler(prior, prompts, empty, InversionSettings())
        trajectory = invert(own, clean)
        embeds, counts = optimise_empty_prompts(own, trajectory)
        return own, trajectory, generate(own, trajectory[-1], embeds), counts.flatten().tolist()

    @pytest.mark.slow
    def test_stops_early_on_the_trained_prior(self, trained):
        """With the authors' 50 steps, 10 inner ones and guidance 7.5; of fewer steps none stops early."""
        own, trajectory, path, taken = trained
        assert len(taken) == 50
        assert sum(taken) < 0.6 * 50 * 10
        assert taken[0] == 10, 'at the last one nothing is good enough'
        for number, place in enumerate(reversed(range(50))):  # every step that stopped early had reached its tolerance
            loss = float((path[place] - trajectory[place]).square().mean())
            assert taken[place] == 10 or loss < 1.001 * (own.settings.tolerance + number * LOSS_SLACK), place

    @pytest.mark.slow
    def test_reconstructs_better_than_plain_ddim_on_the_trained_prior(self, trained):
        """PSNR of an image of the embedded prior's own kind at guidance 7.5."""
        own, trajectory, path, _ = trained
        clean = own.prior.decode_latents(trajectory[0])

        def psnr(latents):
            return -10 * math.log10(float((own.prior.decode_latents(latents) - clean).square().mean()))

        assert psnr(path[0]) > psnr(generate(own, trajectory[-1], [own.empty] * 50)[0]) + 3


@pytest.mark.parametrize(
    'change',
    [
        dict(steps=0),
        dict(inner_steps=0),
        dict(guidance_scale=float('nan')),
        dict(guidance_scale=-1.0),
    ],
)
def test_settings_out_of_range(change):
    with pytest.raises(ValueError, match=r'expected'):
        InversionSettings(**change)


def test_a_prior_that_predicts_clean_latents(prior):
    with pytest.raises(ValueError, match='noise, velocity or flow'):
        sampler(as_prior(build_random_parts('sample')))
