"""Pictures against diffusers' own pipelines, which are given the same noise; B pictures, c h w latents."""

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    StableDiffusionPipeline,
)

from mmseg_g4seg.diffusion.families.flux import FluxPrior
from mmseg_g4seg.diffusion.injection.attention_maps import AttentionMaps, recorded_attention
from mmseg_g4seg.diffusion.sampling import PictureSampler, flow_schedule
from mmseg_g4seg.ops.noise import image_generator, image_noise
from tests.coarse.priors import PIPELINES
from tests.conftest import as_prior, build_random_parts
from tests.diffusion.pipelines import T5_LENGTH, build_flux, build_lcm

TEMPLATE = 'a photo of {name}'
SIZE = (32, 48)
KEYS = ['000000', '000001']
PROMPTS = [['sky'], ['fish']]


def stable_diffusion(prediction_type='epsilon', **scheduler_options):
    parts = build_random_parts(prediction_type)
    # the pipeline wants the offset, and would write it into the config behind its back
    scheduler = DDIMScheduler.from_config(parts.scheduler.config, steps_offset=1, **scheduler_options)
    pipeline = StableDiffusionPipeline(
        vae=parts.vae,
        unet=parts.unet,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    prior = as_prior(parts)
    prior.scheduler = scheduler
    return prior, pipeline


def of_family(family):
    prior_class, build_pipeline = PIPELINES[family]
    pipeline = build_pipeline()
    return prior_class(**{name: getattr(pipeline, name) for name in prior_class.parts}), pipeline


def draw(prior, *, keys=KEYS, prompts=PROMPTS, seed=3, maps=None, size=SIZE, **options):
    encoded = prior.encode_prompts(prompts, TEMPLATE)
    return PictureSampler(prior, image_size=size, **options)(encoded, keys=keys, seed=seed, maps=maps)


def by_pipeline(pipeline, prior, *, steps, guidance, **options):
    """What the pipeline makes of our noise, latents (1, c, h, w); the first of the two pictures."""
    grid = [side // prior.latent_stride for side in SIZE]
    noise = image_noise((prior.latent_channels, *grid), seed=3, key=KEYS[0])[None]
    if hasattr(pipeline, '_pack_latents'):
        noise = pipeline._pack_latents(noise, *noise.shape)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        TEMPLATE.format(name=PROMPTS[0][0]),
        height=SIZE[0],
        width=SIZE[1],
        num_inference_steps=steps,
        guidance_scale=guidance,
        latents=noise,
        output_type='latent',
        **options,
    ).images


@pytest.mark.parametrize('prediction_type', ['epsilon', 'v_prediction'])
@pytest.mark.parametrize(('guidance', 'options'), [(1, {}), (7, {}), (7, dict(timestep_spacing='trailing'))])
def test_a_u_net_draws_as_its_pipeline(prediction_type, guidance, options):
    prior, pipeline = stable_diffusion(prediction_type, **options)
    found = draw(prior, steps=4, guidance_scale=guidance)
    expected = by_pipeline(pipeline, prior, steps=4, guidance=guidance)
    torch.testing.assert_close(found[:1], expected, rtol=1e-4, atol=1e-4)


def test_latents_are_not_clipped():
    prior, pipeline = stable_diffusion(clip_sample=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    expected = by_pipeline(pipeline, prior, steps=2, guidance=1)
    assert expected.abs().max() > 1
    torch.testing.assert_close(draw(prior, steps=2, guidance_scale=1)[:1], expected, rtol=1e-4, atol=1e-4)


def test_lcm_draws_as_its_pipeline_noise_between_steps_included():
    pipeline = build_lcm()
    assert isinstance(pipeline, LatentConsistencyModelPipeline)
    names = ('vae', 'unet', 'text_encoder', 'tokenizer', 'scheduler')
    prior = type(as_prior(build_random_parts()))(**{name: getattr(pipeline, name) for name in names})
    expected = by_pipeline(
        pipeline,
        prior,
        steps=3,
        guidance=prior.guidance_scale,
        generator=image_generator(seed=3, key=KEYS[0], draw=1),
    )
    torch.testing.assert_close(draw(prior, steps=3)[:1], expected, rtol=1e-4, atol=1e-4)


def test_sdxl_draws_as_its_pipeline():
    prior, pipeline = of_family('sdxl')
    expected = by_pipeline(pipeline, prior, steps=3, guidance=5)  # with zeros for an empty prompt
    torch.testing.assert_close(draw(prior, steps=3, guidance_scale=5)[:1], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('family', 'guidance'), [('sd3', 5), ('flux', None)])
def test_flow_matching_draws_as_its_pipeline_at_the_same_levels(family, guidance):
    prior, pipeline = of_family(family)
    found = draw(prior, steps=4, guidance_scale=guidance)
    levels = flow_schedule(prior, SIZE, 4)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler()
    options = dict(sigmas=levels.scheduler.sigmas[:-1].tolist(), steps=4, max_sequence_length=T5_LENGTH)
    expected = by_pipeline(pipeline, prior, guidance=guidance or prior.guidance_scale, **options)
    if family == 'flux':
        expected = pipeline._unpack_latents(expected, *SIZE, pipeline.vae_scale_factor)
    torch.testing.assert_close(found[:1], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('family', ['sd3', 'flux'])
def test_the_levels_are_the_pipelines_to_half_a_timestep(family):
    prior, pipeline = of_family(family)
    if family == 'flux':
        from diffusers.pipelines.flux.pipeline_flux import calculate_shift

        tokens = SIZE[0] * SIZE[1] // prior.image_multiple**2
        pipeline.scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 9, 9), mu=calculate_shift(tokens))
    else:
        pipeline.scheduler.set_timesteps(9)
    found = flow_schedule(prior, SIZE, 9)
    sigmas = torch.tensor([1 - prior.alpha_cumprod(t) for t in found.timesteps])
    # shifted by 3, neighbours are 0.003 apart where there is little noise
    torch.testing.assert_close(sigmas, pipeline.scheduler.sigmas[:-1], rtol=0, atol=0.0016)
    assert torch.equal(sigmas, found.scheduler.sigmas[:-1])


@pytest.mark.parametrize('kind', ['ddim', 'lcm'])
def test_a_picture_does_not_depend_on_its_batch(kind):
    prior = stable_diffusion()[0]
    if kind == 'lcm':
        prior.scheduler = build_lcm().scheduler
    together = draw(prior, steps=3)
    for i, key in enumerate(KEYS):
        alone = draw(prior, steps=3, keys=[key], prompts=[PROMPTS[i]])
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together[:1], draw(prior, steps=3, keys=['000007', '000001'])[:1], atol=0.1)
    assert not torch.allclose(together[:1], draw(prior, steps=3, seed=4)[:1], atol=0.1)


def test_attention_of_the_named_half_alone_is_averaged_over_all_steps():
    prior = stable_diffusion()[0]
    layer = next(layer for layer in prior.attention_layers if layer.reads_text)
    grid = [side // prior.latent_stride for side in SIZE]
    guided, expected = (AttentionMaps(grid, cross_layers=[layer]) for _ in range(2))
    plain = draw(prior, steps=3, guidance_scale=5)
    assert torch.equal(draw(prior, steps=3, guidance_scale=5, maps=guided), plain)
    # by hand: the latents that each pass saw, under the prompt
    seen, denoise = [], prior.denoise
    prior.denoise = lambda noisy, timestep, prompts: seen.append((noisy, timestep)) or denoise(noisy, timestep, prompts)
    draw(prior, steps=3, guidance_scale=5)
    del prior.denoise
    assert len(seen) == 6
    with recorded_attention(expected), torch.no_grad():
        for noisy, timestep in seen[::2]:
            prior.denoise(noisy, timestep, prior.encode_prompts(PROMPTS, TEMPLATE))
    for i in range(2):
        torch.testing.assert_close(guided.cross(layer.level, i), expected.cross(layer.level, i))


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(steps=0), 'steps: expected an integer from 1 to 1000'),
        (dict(steps=1001), 'steps: expected an integer from 1 to 1000'),
        (dict(steps=True), 'steps: expected an integer'),
        (dict(guidance_scale=-1), 'guidance: expected a finite number of at least 0, got -1'),
        (dict(guidance_scale=float('nan')), 'guidance: expected a finite number'),
        (dict(size=(30, 32)), 'image_size: this prior takes positive multiples of'),
    ],
)
def test_bad_options(prior, options, said):
    with pytest.raises(ValueError, match=said):
        draw(prior, **options)


def test_schnell_is_not_guided_unless_it_is_asked_for():
    pipeline = build_flux(guidance_embeds=False)
    prior = FluxPrior(**{name: getattr(pipeline, name) for name in FluxPrior.parts})
    assert prior.guidance_scale is None
    assert PictureSampler(prior, image_size=SIZE).guidance_scale == 1
    assert PictureSampler(prior, image_size=SIZE, guidance_scale=3).guidance_scale == 3


def test_a_prior_that_reads_its_scale_is_not_guided_twice():
    prior = of_family('flux')[0]
    assert PictureSampler(prior, image_size=SIZE).guidance_scale == 1
    with pytest.raises(ValueError, match=r'guidance: expected 1, since this prior reads a guidance scale itself, 3\.5'):
        PictureSampler(prior, image_size=SIZE, guidance_scale=7)
