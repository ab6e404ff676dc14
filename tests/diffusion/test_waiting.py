"""A pass sends nothing to the device that the host would wait for; seen on a GPU that is not there.

Fake tensors have a device and a shape, no numbers: what is copied between host and device is counted, not copied.
"""

import copy

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import FakeCopyMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_g4seg.diffusion.finite import FiniteWatch
from mmseg_g4seg.diffusion.injection import Injection, MaskInjector, RegionLayout
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from tests.diffusion.pipelines import build_flux, build_lcm, build_sd3, build_sdxl, save


class Copies(TorchDispatchMode):
    """Remembers the copies from host to device, or back, that are waited for."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        moved = [t.device.type for t in (*args, result) if isinstance(t, torch.Tensor)]
        waits = not (kwargs or {}).get('non_blocking', False)
        if operator.overloadpacket.__name__ in ('_to_copy', 'copy_') and len(set(moved)) > 1 and waits:
            self.found.append((operator, moved))
        return result


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


def on_a_fake_gpu(prior, fake):
    """The prior with its denoiser on a GPU that is not there; the prior itself stays where it is."""
    with FakeCopyMode(fake):
        denoiser = copy.deepcopy(prior.denoiser)
    for module in denoiser.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = torch.nn.Parameter(weight.to('cuda'), requires_grad=False)
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.to('cuda')
    placed = copy.copy(prior)
    vars(placed).update({name: denoiser for name, value in vars(prior).items() if value is prior.denoiser})
    placed.finite = FiniteWatch()
    return placed


def test_no_pass_waits(family):
    prior, encoded = family
    noise_level = getattr(prior, 'sigma', prior.alpha_cumprod)(400)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad():
        placed = on_a_fake_gpu(prior, fake)
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
