"""A pass sends nothing to the device that the host would wait for; seen on a GPU that is not there."""

import copy

import pytest
import torch
from torch._subclasses import FakeTensorMode

from mmseg_g4seg.diffusion.finite import FiniteWatch
from mmseg_g4seg.diffusion.injection import Injection, MaskInjector, RegionLayout
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from tests.diffusion.pipelines import build_flux, build_lcm, build_sd3, build_sdxl, save
from tests.fake_gpu import Copies, on_a_fake_gpu


def test_what_is_counted():
    with FakeTensorMode(), Copies() as copies:
        there = torch.empty(3, device='cuda')
        torch.full((3,), 0.5, device='cuda') + torch.ones(3).to('cuda', non_blocking=True)
        assert copies.found == []
        torch.tensor(0.5, device='cuda')
        there.cpu()
    assert len(copies.found) == 2


@pytest.fixture(scope='module', params=['stable diffusion', 'sdxl', 'lcm', 'sd3', 'flux'])
def family(request, prior_folder, tmp_path_factory):
    """A prior, and prompts that it encoded."""
    build = {'sdxl': build_sdxl, 'lcm': build_lcm, 'sd3': build_sd3, 'flux': build_flux}.get(request.param)
    folder = prior_folder if build is None else save(build(), tmp_path_factory.mktemp(request.param))
    prior = load_prior(folder)
    return prior, prior.encode_prompts([['fish'], ['sky']], 'a photo of {name}')


def test_no_pass_waits(family):
    prior, encoded = family
    noise_level = getattr(prior, 'sigma', prior.alpha_cumprod)(400)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        denoiser, placed = on_a_fake_gpu(prior.denoiser, fake), copy.copy(prior)
        vars(placed).update({name: denoiser for name, value in vars(prior).items() if value is prior.denoiser})
        placed.finite = FiniteWatch()
        # of the scheduler's own tables, on the host, which have no numbers here
        placed.sigma = lambda _: noise_level
        embeds, token_masks, pooled = (
            None if t is None else torch.empty(t.shape, device='cuda')
            for t in (encoded.embeds, encoded.token_masks, encoded.pooled)
        )
        prompts = EncodedPrompts(embeds, token_masks, pooled)
        layout = RegionLayout(torch.ones(2, token_masks.shape[1], 8, 8, device='cuda'), token_masks)
        noisy = torch.empty(2, 4, 8, 8, device='cuda')
        with Copies() as copies:
            output = placed.denoise(noisy, 400, prompts, Injection(layout, [MaskInjector()]))
            placed.clean_latents(output, placed.add_noise(noisy, noisy, 400), 400)
    assert output.device.type == 'cuda'
    assert copies.found == []
