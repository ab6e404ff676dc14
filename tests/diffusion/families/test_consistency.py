"""LCM: guidance embedding and boundary condition, on Stable Diffusion and on SDXL."""

import json

import pytest
import torch
from diffusers import LatentConsistencyModelPipeline, LCMScheduler

from mmseg_g4seg.diffusion.families.consistency import boundary_scalings, guidance_embedding
from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
from mmseg_g4seg.diffusion.families.stable_diffusion_xl import StableDiffusionXLPrior
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.sampling import PictureSampler
from tests.conftest import as_prior, build_random_parts
from tests.diffusion.pipelines import build_lcm, build_sdxl, save

TEMPLATE = 'a photo of {name}'


@pytest.mark.parametrize('width', [8, 15, 256])
@pytest.mark.parametrize('scale', [1.0, 2.0, 8.5])
def test_guidance_embedding_is_diffusers_own(scale, width):
    own = LatentConsistencyModelPipeline.get_guidance_scale_embedding
    expected = own(None, torch.tensor([scale - 1]), embedding_dim=width)
    torch.testing.assert_close(guidance_embedding(scale, width), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('timestep', [0, 1, 20, 400, 999])
def test_boundary_scalings_are_the_schedulers(timestep):
    expected = LCMScheduler().get_scalings_for_boundary_condition_discrete(timestep)
    assert boundary_scalings(timestep, 10.0) == pytest.approx(expected)


def test_prediction_at_no_noise_is_the_input(tmp_path):
    prior = load_prior(save(build_lcm(), tmp_path))
    noisy = torch.randn(1, 4, 8, 8)
    assert torch.equal(
        prior.clean_latents(prior.denoise(noisy, 0, prior.encode_prompts([['sky']], TEMPLATE)), noisy, 0), noisy
    )


def test_config_that_is_older_than_the_scaling(tmp_path):
    """Written by diffusers before 0.24, and taken for plain DDIM of 50 steps."""
    config = save(build_lcm(), tmp_path) / 'scheduler' / 'scheduler_config.json'
    settings = json.loads(config.read_text())
    del settings['timestep_scaling']
    config.write_text(json.dumps(settings))
    prior = load_prior(tmp_path)
    assert prior.scheduler.config.timestep_scaling == LCMScheduler().config.timestep_scaling
    assert len(PictureSampler(prior, image_size=(32, 32)).schedule().timesteps) == 4


def test_distilled_unet_in_a_plain_pipeline():
    """SD with LCM's U-Net put in: it reads a guidance scale; the scheduler knows no boundary condition."""
    parts = build_random_parts(time_cond_proj_dim=16)
    prior = as_prior(parts)
    assert prior.guidance_scale == 8.5
    noisy, prompts = torch.randn(1, 4, 8, 8), prior.encode_prompts([['sky']], TEMPLATE)
    embedding = guidance_embedding(8.5, 16)
    with torch.no_grad():
        expected = parts.unet(noisy, 400, prompts.embeds, timestep_cond=embedding).sample
    torch.testing.assert_close(prior.denoise(noisy, 400, prompts), expected)
    assert not torch.equal(prior.clean_latents(prior.denoise(noisy, 0, prompts), noisy, 0), noisy)


def test_distilled_sdxl(tmp_path):
    pipeline = build_sdxl(time_cond_proj_dim=16)
    pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)
    prior = load_prior(save(pipeline, tmp_path), guidance_scale=4.0)
    assert type(prior) is StableDiffusionXLPrior
    assert prior.guidance_scale == 4.0
    noisy, prompts = torch.randn(1, 4, 8, 8), prior.encode_prompts([['sky']], TEMPLATE)
    assert torch.equal(prior.clean_latents(prior.denoise(noisy, 0, prompts), noisy, 0), noisy)
    assert torch.isfinite(prior.clean_latents(prior.denoise(noisy, 400, prompts), noisy, 400)).all()


def test_guidance_scale_of_a_unet_that_reads_none(parts):
    with pytest.raises(ValueError, match=r'guidance_scale: .* reads none, expected None, got 3\.0'):
        StableDiffusionPrior(
            parts.vae,
            unet=parts.unet,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            scheduler=parts.scheduler,
            guidance_scale=3.0,
        )
