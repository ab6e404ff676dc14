import json
import shutil

import pytest
import torch

from mmseg_g4seg.attention import MaskInjection
from mmseg_g4seg.diffusion import StableDiffusionPrior, load_prior
from tests.conftest import as_prior, build_random_parts

TEMPLATE = 'a photo of {name}'


def latents(batch=2, seed=0):
    return torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


class TestLoading:
    @pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'float16'])
    def test_save_and_load(self, prior, prior_folder, dtype):
        loaded = load_prior(prior_folder, dtype=dtype)
        assert isinstance(loaded, StableDiffusionPrior)
        assert loaded.dtype == getattr(torch, dtype)
        prompts = [['sky'], ['hot air balloon']]
        expected = prior.denoise(latents(), 400, prior.encode_prompts(prompts, TEMPLATE))
        actual = loaded.denoise(latents(), 400, loaded.encode_prompts(prompts, TEMPLATE))
        assert actual.dtype == torch.float32
        tolerance = {'float32': 1e-5, 'bfloat16': 0.05, 'float16': 0.01}[dtype]
        torch.testing.assert_close(actual, expected, atol=tolerance, rtol=tolerance)

    def test_agrees_with_diffusers_pipeline(self, prior, prior_folder):
        from diffusers import StableDiffusionPipeline

        pipeline = StableDiffusionPipeline.from_pretrained(prior_folder, safety_checker=None)
        embeds, _ = pipeline.encode_prompt('a photo of sky', 'cpu', 1, False)
        ours = prior.encode_prompts([['sky']], TEMPLATE)
        torch.testing.assert_close(ours.embeds, embeds)
        with torch.no_grad():
            expected = pipeline.unet(latents(1), 400, embeds).sample
        torch.testing.assert_close(prior.denoise(latents(1), 400, ours), expected)

    @pytest.mark.parametrize('part', ['vae', 'unet', 'text_encoder', 'tokenizer', 'scheduler'])
    def test_missing_part_is_named(self, prior_folder, tmp_path, part):
        folder = tmp_path / 'prior'
        shutil.copytree(prior_folder, folder)
        shutil.rmtree(folder / part)
        with pytest.raises(FileNotFoundError, match=f"'{part}' is missing"):
            load_prior(folder)

    def test_part_without_weights_is_named(self, prior_folder, tmp_path):
        folder = tmp_path / 'prior'
        shutil.copytree(prior_folder, folder)
        for file in (folder / 'unet').glob('*.safetensors'):
            file.unlink()
        with pytest.raises(FileNotFoundError, match="part 'unet' could not be loaded"):
            load_prior(folder)

    def test_folder_without_index(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'model_index\.json'):
            load_prior(tmp_path)

    def test_unknown_family(self, tmp_path):
        (tmp_path / 'model_index.json').write_text(json.dumps({'_class_name': 'OtherPipeline'}))
        with pytest.raises(ValueError, match="got 'OtherPipeline'"):
            load_prior(tmp_path)

    def test_no_such_folder(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='no such folder'):
            load_prior(tmp_path / 'nowhere')

    def test_hub_id_that_cannot_be_reached(self):
        with pytest.raises(FileNotFoundError, match='neither a local folder nor a hub repository'):
            load_prior('nobody/nothing')

    def test_unknown_dtype(self, prior_folder):
        with pytest.raises(ValueError, match='dtype'):
            load_prior(prior_folder, dtype='int8')


class TestFamily:
    """SD 1.5 and 2.1-base (epsilon), and SD 2.1 (v-prediction, upcast attention, linear projections)."""

    @pytest.mark.parametrize(
        ('prediction_type', 'options'),
        [('epsilon', {}), ('v_prediction', {'upcast_attention': True, 'use_linear_projection': True})],
    )
    def test_prediction_equals_the_schedulers(self, prediction_type, options):
        prior = as_prior(build_random_parts(prediction_type, **options))
        assert prior.prediction_type == prediction_type
        noisy = prior.add_noise(latents(), latents(seed=1), 400)
        prompts = prior.encode_prompts([['sky'], ['fish']], TEMPLATE)
        prior.scheduler.set_timesteps(1000)
        output = prior.denoise(noisy, 400, prompts)
        expected = prior.scheduler.step(output, 400, noisy).pred_original_sample
        torch.testing.assert_close(prior.predict_latents(noisy, 400, prompts), expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_injection_in_half_precision(self, dtype):
        parts = build_random_parts('v_prediction', upcast_attention=True)
        single = as_prior(parts)
        prompts = single.encode_prompts([['sky']], TEMPLATE)
        masks = torch.zeros(1, 1, 8, 8)
        masks[..., :4] = 1
        injection = MaskInjection(masks, prompts.token_masks)
        expected = single.denoise(latents(1), 400, prompts, injection)
        half = build_random_parts('v_prediction', upcast_attention=True)
        for network in (half.vae, half.unet, half.text_encoder):
            network.to(dtype)
        actual = as_prior(half).denoise(latents(1), 400, as_prior(half).encode_prompts([['sky']], TEMPLATE), injection)
        torch.testing.assert_close(actual, expected, atol=0.05, rtol=0.05)


class TestImages:
    def test_latents_are_the_scaled_mode(self, prior, parts):
        images = torch.rand(2, 3, 32, 48)
        with torch.no_grad():
            mode = parts.vae.encode(images * 2 - 1).latent_dist.mode()
        torch.testing.assert_close(prior.encode_images(images), mode * parts.vae.config.scaling_factor)
        assert prior.encode_images(images).shape == (2, 4, 8, 12)

    def test_shift_factor_is_undone(self):
        parts = build_random_parts()
        plain = as_prior(parts).encode_images(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
        parts.vae.register_to_config(shift_factor=0.5)
        shifted = as_prior(parts)
        images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        scale = parts.vae.config.scaling_factor
        torch.testing.assert_close(shifted.encode_images(images), plain - 0.5 * scale)
        torch.testing.assert_close(
            shifted.decode_latents(shifted.encode_images(images)), as_prior(build_random_parts()).decode_latents(plain)
        )

    def test_decoded_images_are_in_range(self, prior):
        images = prior.decode_latents(latents() * 5)
        assert images.shape == (2, 3, 32, 32)
        assert 0 <= images.min() <= images.max() <= 1

    def test_size_that_does_not_fit(self, prior):
        assert prior.image_multiple == 16
        with pytest.raises(ValueError, match='multiples of 16'):
            prior.encode_images(torch.rand(1, 3, 40, 32))


def test_prompts_are_encoded_once(prior, monkeypatch):
    prior.encode_prompts([['sky'], ['fish']], TEMPLATE)
    monkeypatch.setattr(prior, 'text_encoder', None)
    assert prior.encode_prompts([['fish'], ['sky'], ['sky']], TEMPLATE).embeds.shape[0] == 3


def test_timestep_that_the_scheduler_lacks(prior):
    with pytest.raises(ValueError, match='timestep'):
        prior.alpha_cumprod(1000)


def test_features_restore_the_model(prior):
    prompts = prior.encode_prompts([['sky']], TEMPLATE)
    features = prior.denoiser_features(latents(1), 100, prompts)
    assert features.ndim == 4
    assert all(not block._forward_hooks for block in prior.unet.up_blocks)
