"""What every family must do, on tiny pipelines with random weights that diffusers wrote."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, LCMScheduler
from safetensors.torch import load_file, save_file

from mmseg_g4seg.diffusion.families.flux import FluxPrior
from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
from mmseg_g4seg.diffusion.families.stable_diffusion_3 import StableDiffusion3Prior
from mmseg_g4seg.diffusion.families.stable_diffusion_xl import StableDiffusionXLPrior
from mmseg_g4seg.diffusion.injection import DenseDiffusionInjector, MaskInjector
from mmseg_g4seg.diffusion.inversion import InversionSettings, Sampler, reconstruct
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.refiners.g4seg.reconstruction import NullTextInversion
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from mmseg_g4seg.registry import parts_of
from tests.conftest import NAMES, random_case
from tests.diffusion.injections import inject
from tests.diffusion.oracles import explicit_masks, joint_bias, unet_bias
from tests.diffusion.pipelines import T5_LENGTH, build_flux, build_lcm, build_sd3, build_sdxl, save

TEMPLATE = 'a photo of {name}'
PROMPT = 'a photo of hot air balloon, sky'
PROMPTS = [['hot air balloon', 'sky'], ['fish']]


def lcm_output(pipeline, latents, timestep, _):
    embeds, _ = pipeline.encode_prompt(PROMPT, 'cpu', 1, False)
    width = pipeline.unet.config.time_cond_proj_dim
    guidance = pipeline.get_guidance_scale_embedding(torch.tensor([8.5 - 1.0]), embedding_dim=width)
    return pipeline.unet(latents, timestep, timestep_cond=guidance, encoder_hidden_states=embeds).sample


def sdxl_output(pipeline, latents, timestep, _):
    embeds, _, pooled, _ = pipeline.encode_prompt(PROMPT, device='cpu', do_classifier_free_guidance=False)
    size = (32, 32)
    ids = pipeline._get_add_time_ids(size, (0, 0), size, embeds.dtype, pooled.shape[-1])
    return pipeline.unet(latents, timestep, embeds, added_cond_kwargs={'text_embeds': pooled, 'time_ids': ids}).sample


def sd3_output(pipeline, latents, _, sigma):
    embeds, _, pooled, _ = pipeline.encode_prompt(
        PROMPT, PROMPT, PROMPT, do_classifier_free_guidance=False, max_sequence_length=T5_LENGTH
    )
    return pipeline.transformer(latents, embeds, pooled, torch.tensor([1000 * sigma])).sample


def flux_output(pipeline, latents, _, sigma):
    embeds, pooled, text_ids = pipeline.encode_prompt(PROMPT, device='cpu', max_sequence_length=T5_LENGTH)
    batch, channels, height, width = latents.shape
    output = pipeline.transformer(
        hidden_states=pipeline._pack_latents(latents, batch, channels, height, width),
        encoder_hidden_states=embeds,
        pooled_projections=pooled,
        timestep=torch.tensor([sigma]),
        guidance=torch.tensor([3.5]),
        img_ids=pipeline._prepare_latent_image_ids(batch, height // 2, width // 2, 'cpu', embeds.dtype),
        txt_ids=text_ids,
    ).sample
    return pipeline._unpack_latents(output, 4 * height, 4 * width, 4)


@dataclass(frozen=True)
class Family:
    build: Callable
    prior: type
    output: Callable
    """diffusers' own output for PROMPT: (pipeline, latents, timestep, sigma) -> like latents."""
    bias: Callable
    layers: set
    """(queries, keys, with text) of the attention layers on 8x8 latents."""


FAMILY = {
    'sdxl': Family(build_sdxl, StableDiffusionXLPrior, sdxl_output, unet_bias, {(16, 16, False), (16, 48, True)}),
    'lcm': Family(
        build_lcm,
        StableDiffusionPrior,
        lcm_output,
        unet_bias,
        {(q, k, k == 48) for q in (64, 16, 4) for k in (q, 48)},
    ),
    'sd3': Family(
        build_sd3,
        StableDiffusion3Prior,
        sd3_output,
        lambda injection: joint_bias(injection, patch_size=2, text_first=False),
        {(88, 88, True), (16, 16, False)},
    ),
    'flux': Family(
        build_flux,
        FluxPrior,
        flux_output,
        lambda injection: joint_bias(injection, patch_size=2, text_first=True, single=True),
        {(40, 40, True), (40, 40, False)},
    ),
}


def latents(batch=2, seed=0, height=8, width=8):
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(seed))


def injection_for(encoded, injector=None, **layout):
    """Overlapping shares of every name's region, under one rule."""
    images, regions = encoded.token_masks.shape[:2]
    masks = torch.rand(images, regions + 1, 8, 8, generator=torch.Generator().manual_seed(3)).softmax(1)
    masks = masks[:, :regions].round(decimals=2)
    return inject(masks, encoded.token_masks, injector or MaskInjector(), **layout)


@pytest.fixture(scope='module', params=list(FAMILY))
def case(request, tmp_path_factory):
    """A family, its pipeline and its folder."""
    family = FAMILY[request.param]
    pipeline = family.build()
    return family, pipeline, save(pipeline, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope='module')
def prior(case):
    return load_prior(case[2])


class TestDenoising:
    @torch.no_grad()
    def test_output_is_diffusers_own(self, case, prior):
        family, pipeline, _ = case
        assert type(prior) is family.prior
        encoded = prior.encode_prompts(PROMPTS[:1], TEMPLATE)
        sigma = 1 - prior.alpha_cumprod(400)
        expected = family.output(pipeline, latents(1), 400, sigma)
        torch.testing.assert_close(prior.denoise(latents(1), 400, encoded), expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize('rule', [MaskInjector, DenseDiffusionInjector])
    def test_zero_weights_are_bit_identical(self, prior, rule):
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        off = injection_for(encoded, rule(cross_weight=0.0, self_weight=0.0))
        assert torch.equal(prior.denoise(latents(), 400, encoded, off), prior.denoise(latents(), 400, encoded))

    @pytest.mark.parametrize('weights', [(1.0, 0.3), (2.5, 0.0), (0.0, 2.0)])
    def test_injection_equals_explicit_masks(self, case, prior, weights):
        family, _, _ = case
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        injection = injection_for(encoded, MaskInjector(cross_weight=weights[0], self_weight=weights[1]))
        with explicit_masks(prior.denoiser, family.bias(injection)) as layers:
            expected = prior.denoise(latents(), 400, encoded)
        assert set(layers) == family.layers
        actual = prior.denoise(latents(), 400, encoded, injection)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
        assert (actual - prior.denoise(latents(), 400, encoded)).abs().max() > 1e-3

    def test_no_bias_is_materialised(self, prior, monkeypatch):
        seen, attend = [], torch.nn.functional.scaled_dot_product_attention

        def spy(query, key, value, attn_mask=None, **options):
            seen.append((query.shape[-1] % 8, attn_mask))
            return attend(query, key, value, attn_mask=attn_mask, **options)

        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention', spy)
        prior.denoise(latents(), 400, encoded, injection_for(encoded))
        assert set(seen) == {(0, None)}

    def test_dense_diffusion_changes_more_with_more_noise(self, prior):
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        plain = prior.denoise(latents(), 400, encoded)
        sizes = []
        for level in (0.3, 0.6, 1.0):
            injection = injection_for(encoded, DenseDiffusionInjector(), noise_level=level)
            sizes.append(float((prior.denoise(latents(), 400, encoded, injection) - plain).abs().mean()))
        assert 0 < sizes[0] < sizes[1] < sizes[2]

    def test_processors_are_restored_after_an_error(self, prior):
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        before = dict(prior.denoiser.attn_processors)
        wrong = inject(torch.zeros(2, 2, 6, 6), encoded.token_masks)
        with pytest.raises(ValueError, match="on the latents' own grid"):
            prior.denoise(latents(), 400, encoded, wrong)
        assert prior.denoiser.attn_processors == before
        prior.denoise(latents(), 400, encoded, injection_for(encoded))
        assert prior.denoiser.attn_processors == before

    def test_images_of_a_batch_do_not_mix(self, prior):
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        injection = injection_for(encoded)
        alone = injection.take([1], encoded.embeds.shape[1])
        torch.testing.assert_close(
            prior.denoise(latents(), 400, encoded, injection)[1:],
            prior.denoise(latents()[1:], 400, encoded[1:], alone),
            atol=1e-5,
            rtol=1e-4,
        )

    def test_wide_images(self, prior):
        encoded = prior.encode_prompts([['fish']], TEMPLATE)
        masks = torch.rand(1, 1, 4, 12, generator=torch.Generator().manual_seed(0))
        output = prior.denoise(latents(1, 0, 4, 12), 400, encoded, inject(masks, encoded.token_masks))
        assert output.shape == (1, 4, 4, 12)
        assert not torch.allclose(output, prior.denoise(latents(1, 0, 4, 12), 400, encoded))

    def test_features(self, prior):
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        features = prior.denoiser_features(latents(height=4, width=12), 100, encoded)
        assert features.dtype == torch.float32
        assert features.shape[-1] == 3 * features.shape[-2]
        assert not any(module._forward_hooks for module in prior.denoiser.modules())
        other = prior.denoiser_features(latents(height=4, width=12), 600, encoded)
        assert not torch.allclose(features, other)

    def test_features_of_every_block(self, prior):
        """Each block's on the grid of the image, and no two the same."""
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        noisy = latents(height=4, width=12)
        blocks = [prior.denoiser_features(noisy, 100, encoded, block=i) for i in range(len(prior.feature_blocks))]
        assert len(blocks) >= 2
        for features in blocks:
            assert len(features) == len(noisy)
            assert features.shape[-1] == 3 * features.shape[-2]
        assert not any(a.shape == b.shape and torch.allclose(a, b) for a, b in pairwise(blocks))
        default = prior.denoiser_features(noisy, 100, encoded)
        torch.testing.assert_close(default, blocks[prior.default_feature_block], atol=0, rtol=0)

    def test_features_of_a_block_that_is_not_there(self, prior):
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        count = len(prior.feature_blocks)
        with pytest.raises(ValueError, match=f'block: this denoiser has 0 to {count - 1} .*, got {count}'):
            prior.denoiser_features(latents(), 100, encoded, block=count)


class TestSchedule:
    @pytest.mark.parametrize('timestep', [0, 1, 400, 999])
    def test_noise_and_prediction_are_the_schedulers(self, prior, timestep):
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        clean, noise = latents(), latents(seed=1)
        noisy = prior.add_noise(clean, noise, timestep)
        output = prior.denoise(noisy, timestep, encoded)
        own, expected = scheduler_answers(prior, clean, noise, output, timestep)
        torch.testing.assert_close(noisy, own, atol=1e-6, rtol=1e-5)
        predicted = prior.clean_latents(output, noisy, timestep)
        torch.testing.assert_close(predicted, expected, atol=2e-5, rtol=1e-4)

    def test_timestep_that_the_scheduler_lacks(self, prior):
        for timestep in (-1, 1000):
            with pytest.raises(ValueError, match='timestep: expected 0 to 999'):
                prior.alpha_cumprod(timestep)

    def test_more_noise_at_later_timesteps(self, prior):
        alphas = [prior.alpha_cumprod(t) for t in range(0, 1000, 37)]
        assert alphas == sorted(alphas, reverse=True)


class TestInversion:
    def test_generates_anew_and_a_mask_changes_it(self, prior):
        prompts, empty = prior.encode_prompts(PROMPTS, TEMPLATE), prior.encode_prompts([[], []], '{name}')
        scale = 2.0 if prior.guidance_scale is None else 1.0  # distilled ones are guided already
        settings = InversionSettings(steps=2, guidance_scale=scale, inner_steps=1)
        sampler = Sampler(prior, prompts, empty, settings)
        plain = reconstruct(sampler, latents())
        assert torch.isfinite(plain).all()
        assert (reconstruct(sampler, latents(), lambda _: injection_for(prompts)) - plain).abs().max() > 1e-3

    def test_a_prior_that_is_guided_already(self, prior):
        if prior.guidance_scale is None:
            pytest.skip('reads no guidance scale')
        with pytest.raises(ValueError, match=r'guidance: expected 1, since .* got 7\.5'):
            G4SegRefiner(
                prior, image_size=32, update=CorrespondenceUpdate(reconstruction=NullTextInversion(guidance=7.5))
            )

    def test_a_step_is_eulers(self, prior):
        """The flow families' own scheduler, from one timestep to the one before."""
        if prior.prediction_type != 'flow_prediction':
            pytest.skip('not a flow')
        prompts = prior.encode_prompts(PROMPTS, TEMPLATE)
        sampler = Sampler(prior, prompts, prompts, InversionSettings(steps=4, guidance_scale=1.0))
        noisy, output = latents(), latents(seed=1)
        before, after = (1 - prior.alpha_cumprod(sampler.timesteps[place]) for place in (2, 1))
        expected = noisy + (after - before) * output
        torch.testing.assert_close(sampler.step(noisy, output, 2), expected, atol=1e-5, rtol=1e-4)


def scheduler_answers(prior, clean, noise, output, timestep):
    """diffusers' noisy and predicted clean latents."""
    config = prior.scheduler.config
    if isinstance(prior.scheduler, FlowMatchEulerDiscreteScheduler):
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(config)
        told = scheduler.timesteps[-1 - timestep : len(scheduler.timesteps) - timestep]
        noisy = scheduler.scale_noise(clean, told, noise)
        # one step to no noise at all; unshifted, since the level is the shifted one already
        last = FlowMatchEulerDiscreteScheduler(shift=1.0)
        last.set_timesteps(sigmas=[float(told) / 1000])
        return noisy, last.step(output, last.timesteps[0], noisy).prev_sample
    if 'timestep_scaling' in config:
        scheduler = LCMScheduler.from_config(config)
        scheduler.set_timesteps(1, timesteps=None)
        noisy = scheduler.add_noise(clean, noise, torch.tensor([timestep]))
        scheduler._step_index = 0
        return noisy, scheduler.step(output, timestep, noisy).denoised
    scheduler = DDIMScheduler.from_config(config)
    scheduler.set_timesteps(1000)
    noisy = scheduler.add_noise(clean, noise, torch.tensor([timestep]))
    return noisy, scheduler.step(output, timestep, noisy).pred_original_sample


class TestAutoencoder:
    def test_latents_are_scaled_and_shifted(self, case, prior):
        _, pipeline, _ = case
        images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        config = pipeline.vae.config
        with torch.no_grad():
            mode = pipeline.vae.encode(images * 2 - 1).latent_dist.mode()
        shift = config.shift_factor or 0.0
        encoded = prior.encode_images(images)
        torch.testing.assert_close(encoded, (mode - shift) * config.scaling_factor)
        with torch.no_grad():
            decoded = pipeline.vae.decode(encoded / config.scaling_factor + shift).sample
        torch.testing.assert_close(prior.decode_latents(encoded), (decoded / 2 + 0.5).clamp(0, 1))

    def test_size_that_does_not_fit(self, prior):
        side = 4 * prior.image_multiple
        prior.check_image_size((side, 2 * prior.image_multiple))
        for size in ((side + 4, side), (side, 0)):
            with pytest.raises(ValueError, match=f'multiples of {prior.image_multiple}, got'):
                prior.check_image_size(size)
        with pytest.raises(ValueError, match='image_size'):
            prior.encode_images(torch.rand(1, 3, side + 4, side))


class TestLoading:
    @pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
    def test_half_precision(self, case, prior, dtype):
        """Weights so large that the masks' effect is many times the rounding: the oracle's is, nothing else's."""
        half = load_prior(case[2], dtype=dtype)
        assert half.dtype == getattr(torch, dtype)
        encoded = half.encode_prompts(PROMPTS, TEMPLATE)
        assert encoded.embeds.dtype == encoded.token_masks.dtype == half.dtype
        injection = injection_for(encoded, MaskInjector(cross_weight=20.0, self_weight=10.0))
        plain, injected = (half.denoise(latents(), 400, encoded, given) for given in (None, injection))
        assert injected.dtype == torch.float32
        with explicit_masks(half.denoiser, case[0].bias(injection)):
            expected = half.denoise(latents(), 400, encoded)
        assert (injected - plain).norm() > 8 * (injected - expected).norm()
        single = prior.denoise(latents(), 400, prior.encode_prompts(PROMPTS, TEMPLATE))
        torch.testing.assert_close(plain, single, atol=0.06, rtol=0.06)
        images = torch.rand(1, 3, 32, 32)
        assert half.decode_latents(half.encode_images(images)).shape == images.shape

    def test_missing_part_is_named(self, case, tmp_path):
        family, _, folder = case
        for part in family.prior.parts:
            copy = tmp_path / part
            shutil.copytree(folder, copy)
            shutil.rmtree(copy / part)
            with pytest.raises(FileNotFoundError, match=f"'{part}' is missing"):
                load_prior(copy)

    def test_part_without_weights_is_named(self, case, tmp_path):
        family, _, folder = case
        part = next(name for name in family.prior.parts if name in ('unet', 'transformer'))
        shutil.copytree(folder, tmp_path / 'copy')
        for file in (tmp_path / 'copy' / part).glob('*.safetensors'):
            file.unlink()
        with pytest.raises(FileNotFoundError, match=f"part '{part}' could not be loaded"):
            load_prior(tmp_path / 'copy')

    def test_missing_weights_are_not_left_random(self, case, tmp_path):
        """Of the denoiser and of a text encoder."""
        family, _, folder = case
        denoiser = next(name for name in family.prior.parts if name in ('unet', 'transformer'))
        for part in (denoiser, 'text_encoder'):
            copy = tmp_path / part
            shutil.copytree(folder, copy)
            file = next((copy / part).glob('*.safetensors'))
            tensors = load_file(file)
            dropped = sorted(tensors)[len(tensors) // 2]
            save_file({k: v for k, v in tensors.items() if k != dropped}, file, metadata={'format': 'pt'})
            with pytest.raises(ValueError, match=f"part '{part}': expected weights of every layer, 1 are missing"):
                load_prior(copy)

    def test_damaged_index(self, case, tmp_path):
        (tmp_path / 'model_index.json').write_text('{broken')
        with pytest.raises(ValueError, match=r'model_index\.json: expected a JSON object'):
            load_prior(tmp_path)

    def test_index_tells_the_family(self, case):
        family, pipeline, folder = case
        name = json.loads((folder / 'model_index.json').read_text())['_class_name']
        assert name == type(pipeline).__name__
        assert [known for known in parts_of(LatentPrior) if name in known.pipelines] == [family.prior]

    def test_moving_keeps_the_prompts_consistent(self, prior):
        encoded = prior.encode_prompts([['sky']], TEMPLATE)
        assert prior.to('cpu') is prior
        assert prior.device.type == 'cpu'
        # another name of the same device, as `cuda` is of `cuda:0`: T5 would run for every image anew
        assert prior.to('cpu:0').known_prompts
        assert torch.equal(prior.encode_prompts([['sky']], TEMPLATE).embeds, encoded.embeds)


class TestManyNames:
    NAMES = ('hot air balloon', 'brick wall', 'sky') * 7

    def test_every_name_keeps_its_own_tokens(self, prior):
        encoded = prior.encode_prompts([self.NAMES], TEMPLATE)
        named = encoded.token_masks[0].sum(1)
        assert torch.equal(named % torch.tensor([3.0, 2, 1]).repeat(7), torch.zeros(21))
        assert encoded.token_masks[0].sum(0).max() == 1, 'no token names two regions'
        assert encoded.embeds.shape[1] == encoded.token_masks.shape[2]
        assert encoded.embeds.shape[1] > prior.encode_prompts([self.NAMES[:3]], TEMPLATE).embeds.shape[1]

    def test_a_short_prompt_beside_it_gives_what_it_gives_alone(self, prior):
        regions = torch.rand(3, 21, 8, 8, generator=torch.Generator().manual_seed(1))
        regions[[0, 2], 3:] = 0

        def denoise(prompts, images):
            encoded = prior.encode_prompts(prompts, TEMPLATE)
            masks = regions[images, : encoded.token_masks.shape[1]]
            return prior.denoise(latents(3)[images], 400, encoded, inject(masks, encoded.token_masks))

        long, short = self.NAMES, self.NAMES[:3]
        together = denoise([short, long, short[::-1]], [0, 1, 2])
        for i, prompt in enumerate([short, long, short[::-1]]):
            torch.testing.assert_close(together[i : i + 1], denoise([prompt], [i]), atol=1e-5, rtol=1e-4)

    def test_features_of_a_mixed_batch(self, prior):
        encoded = prior.encode_prompts([self.NAMES, ['sky']], TEMPLATE)
        features = prior.denoiser_features(latents(), 100, encoded)
        alone = prior.denoiser_features(latents()[1:], 100, prior.encode_prompts([['sky']], TEMPLATE))
        torch.testing.assert_close(features[1:], alone, atol=1e-4, rtol=1e-4)

    def test_name_that_no_encoder_holds(self, prior):
        with pytest.raises(ValueError, match='expected a shorter name'):
            prior.encode_prompts([['fish ' * 60]], TEMPLATE)

    def test_prompts_are_encoded_once(self, prior, monkeypatch):
        prior.encode_prompts([['sky'], ['fish']], TEMPLATE)
        monkeypatch.setattr(prior, 'encode_prompt', None)
        assert len(prior.encode_prompts([['fish'], ['sky'], ['sky']], TEMPLATE).embeds) == 3


@pytest.mark.parametrize(
    'update',
    [
        CorrespondenceUpdate(confidence_range=(0.0, 0.9)),
        CorrespondenceUpdate(confidence_range=(0.0, 0.9), joint=True),
        LikelihoodUpdate(timesteps=(200, 600)),
    ],
    ids=['correspondence', 'joint correspondence', 'likelihood'],
)
def test_refines_end_to_end(prior, update):
    image, prediction = random_case()
    refiner = G4SegRefiner(prior, image_size=32, update=update)
    refined = refiner.refine(image, prediction, NAMES)
    assert refined.probs.shape == prediction.probs.shape
    assert torch.isfinite(refined.probs).all()
    torch.testing.assert_close(refined.probs.sum(0), torch.ones(24, 40))
    assert not torch.equal(refined.probs, prediction.probs)
    assert torch.equal(refiner.refine(image, prediction, NAMES).probs, refined.probs)


def test_refiner_refuses_a_size_before_any_work(prior):
    with pytest.raises(ValueError, match='image_size'):
        G4SegRefiner(prior, image_size=4 * prior.image_multiple + 4)


def test_distilled_denoiser_reads_its_guidance_scale(case):
    family, _, folder = case
    if family.prior in (StableDiffusionXLPrior, StableDiffusion3Prior):
        with pytest.raises(ValueError, match=r'guidance_scale: .* reads none'):
            load_prior(folder, guidance_scale=2.0)
        return
    outputs = []
    for scale in (None, family.prior.default_guidance, 2.0):
        prior = load_prior(folder, guidance_scale=scale)
        outputs.append(prior.denoise(latents(), 400, prior.encode_prompts(PROMPTS, TEMPLATE)))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])
