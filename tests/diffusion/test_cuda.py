"""Every family in half precision, where there is a GPU on it: against its own float32 on the CPU; memory; waiting."""

import warnings

import pytest
import torch

from mmseg_g4seg.diffusion.batching import MemoryBudget
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from tests.conftest import NAMES, random_case
from tests.diffusion.injections import inject
from tests.diffusion.pipelines import build_flux, build_lcm, build_sd3, build_sdxl, save
from tests.refiners.g4seg.making import make

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
on_gpu = pytest.mark.skipif(DEVICE.type != 'cuda', reason='needs a GPU')


@pytest.fixture(scope='module', params=['stable diffusion', 'sdxl', 'lcm', 'sd3', 'flux'])
def folder(request, prior_folder, tmp_path_factory):
    build = {'sdxl': build_sdxl, 'lcm': build_lcm, 'sd3': build_sd3, 'flux': build_flux}.get(request.param)
    return prior_folder if build is None else save(build(), tmp_path_factory.mktemp(request.param))


@torch.no_grad()
def answers(prior):
    """Latents of an image, what the denoiser says under masks, the picture: float32 on the CPU."""
    encoded = prior.encode_prompts([['hot air balloon', 'sky'], ['fish']], 'a photo of {name}')
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(2, encoded.token_masks.shape[1], 8, 8, generator=generator)
    noisy = torch.randn(2, 4, 8, 8, generator=generator)
    image = torch.rand(1, 3, 32, 32, generator=generator)
    clean = prior.encode_images(image.to(prior.device))
    output = prior.denoise(noisy.to(prior.device), 400, encoded, inject(masks, encoded.token_masks.cpu()))
    picture = prior.decode_latents(clean)
    prior.finite.check()
    return [tensor.float().cpu() for tensor in (clean, output, picture)]


@pytest.mark.parametrize(('dtype', 'tolerance'), [('bfloat16', 0.05), ('float16', 0.02)])
def test_half_precision_is_near_float32(folder, dtype, tolerance):
    expected = answers(load_prior(folder))
    actual = answers(load_prior(folder, dtype=dtype).to(DEVICE))
    for name, ours, theirs in zip(('latents', 'output', 'picture'), actual, expected, strict=True):
        difference = (ours - theirs).square().mean().sqrt() / theirs.square().mean().sqrt()
        assert difference < tolerance, f'{name}: {difference:.3f} of its size'


@on_gpu
@pytest.mark.parametrize('update', [CorrespondenceUpdate(), LikelihoodUpdate(timesteps=(100, 300))])
def test_masks_are_the_cpus(prior_folder, update):
    image, coarse = random_case(32, 32)
    expected = make(load_prior(prior_folder), update=update).refine(image, coarse, NAMES)
    actual = make(load_prior(prior_folder).to(DEVICE), update=update).refine(image, coarse, NAMES)
    assert actual.probs.device == coarse.probs.device
    # a match between two near candidates may turn by the order of sums
    assert (actual.label_map == expected.label_map).float().mean() > 0.97


@on_gpu
def test_a_pass_does_not_wait(folder):
    """PyTorch raises where the host would wait for the device."""
    prior = load_prior(folder, dtype='bfloat16').to(DEVICE)
    encoded = prior.encode_prompts([['fish'], ['sky']], 'a photo of {name}')
    injection = inject(torch.ones(2, encoded.token_masks.shape[1], 8, 8, device=DEVICE), encoded.token_masks)
    noisy = torch.randn(2, 4, 8, 8, device=DEVICE)
    prior.denoise(noisy, 400, encoded, injection)  # libraries are loaded and chosen
    torch.cuda.set_sync_debug_mode('error')
    try:
        with torch.no_grad():
            prior.clean_latents(prior.denoise(noisy, 400, encoded, injection), noisy, 400)
    finally:
        torch.cuda.set_sync_debug_mode('default')


@on_gpu
class TestMemory:
    """Items that take 64 MiB each, really."""

    @staticmethod
    def work(batch):
        taken = torch.empty(len(batch), 2**24, device=DEVICE)
        return [float(value) for value in taken[:, 0].fill_(1.0)]

    def test_as_many_as_the_budget_holds(self):
        batches = []

        def work(batch):
            batches.append(len(batch))
            return self.work(batch)

        assert MemoryBudget(gibibytes=0.26).run(work, range(9), DEVICE) == [1.0] * 9
        assert batches == [1, 4, 4]

    def test_halves_where_memory_runs_out(self):
        torch.cuda.empty_cache()
        allowed = torch.cuda.memory_reserved(DEVICE) + 10 * 2**26
        torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(DEVICE).total_memory)
        try:
            with pytest.warns(UserWarning, match='do not fit into the memory of cuda'):
                assert MemoryBudget(64, gibibytes=100.0).run(self.work, range(40), DEVICE) == [1.0] * 40
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)

    def test_a_refiner_stays_within_its_budget(self, prior_folder):
        prior = load_prior(prior_folder).to(DEVICE)
        image, coarse = random_case(64, 64)
        refiner = make(prior, image_size=64, memory_budget=0.05)
        refiner.refine(image, coarse, NAMES)
        before = torch.cuda.memory_allocated(DEVICE)
        torch.cuda.reset_peak_memory_stats(DEVICE)
        with warnings.catch_warnings():
            warnings.simplefilter('error', UserWarning)
            refiner.refine(image, coarse, NAMES)
        assert torch.cuda.max_memory_allocated(DEVICE) - before < 1.5 * 0.05 * 2**30
