import json
import shutil

import pytest
import torch

from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
from mmseg_g4seg.diffusion.injection import MaskInjector
from mmseg_g4seg.diffusion.loading import load_prior
from tests.conftest import as_prior, build_random_parts
from tests.diffusion.injections import inject

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

    def test_hub_id_is_downloaded_once_and_loaded(self, prior_folder, monkeypatch):
        from diffusers import DiffusionPipeline

        asked = []
        monkeypatch.setattr(DiffusionPipeline, 'download', lambda name: asked.append(name) or str(prior_folder))
        assert load_prior('owner/name').image_multiple == 16
        assert asked == ['owner/name']

    def test_variant_is_asked_of_the_hub(self, monkeypatch):
        from diffusers import DiffusionPipeline

        asked = {}
        monkeypatch.setattr(DiffusionPipeline, 'download', lambda name, **options: asked.update({name: options}))
        with pytest.raises(FileNotFoundError):
            load_prior('owner/name', variant='fp16')
        assert asked == {'owner/name': {'variant': 'fp16'}}

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
        torch.testing.assert_close(prior.clean_latents(output, noisy, 400), expected, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_injection_in_half_precision(self, dtype):
        parts = build_random_parts('v_prediction', upcast_attention=True)
        single = as_prior(parts)
        prompts = single.encode_prompts([['sky']], TEMPLATE)
        masks = torch.zeros(1, 1, 8, 8)
        masks[..., :4] = 1
        injection = inject(masks, prompts.token_masks)
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


class TestMoreNamesThanThePromptHolds:
    NAMES = ('hot air balloon', 'brick wall', 'sky') * 7

    def test_every_name_keeps_its_own_tokens(self, prior):
        length = prior.tokenizer.model_max_length
        encoded = prior.encode_prompts([self.NAMES], TEMPLATE)
        assert encoded.embeds.shape[1] % length == 0
        assert encoded.embeds.shape[1] > length
        assert encoded.token_masks.shape == (1, 21, encoded.embeds.shape[1])
        assert encoded.token_masks[0].sum(1).tolist() == [3, 2, 1] * 7
        assert encoded.token_masks[0].sum(0).max() == 1, 'no token names two regions'
        first = encoded.embeds[:, :length]
        held = int(encoded.token_masks[0, :, :length].any(dim=1).sum())
        torch.testing.assert_close(first, prior.encode_prompts([self.NAMES[:held]], TEMPLATE).embeds)

    def test_a_short_prompt_beside_it_gives_what_it_gives_alone(self, prior):
        long, short = [self.NAMES, self.NAMES[:3]]
        regions = torch.rand(2, 21, 8, 8, generator=torch.Generator().manual_seed(1))

        def denoise(prompts, first):
            encoded = prior.encode_prompts(prompts, TEMPLATE)
            masks = regions[first : first + len(prompts), : encoded.token_masks.shape[1]]
            return prior.denoise(
                latents()[first : first + len(prompts)], 400, encoded, inject(masks, encoded.token_masks)
            )

        regions[1, 3:] = 0
        together = denoise([long, short], 0)
        torch.testing.assert_close(together[1:], denoise([short], 1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(together[:1], denoise([long], 0), atol=1e-5, rtol=1e-4)

    def test_the_last_name_counts(self, prior):
        """A name of the second prompt is injected where its region is."""
        encoded = prior.encode_prompts([self.NAMES], TEMPLATE)
        masks = torch.zeros(1, 21, 8, 8)
        plain = prior.denoise(
            latents(1), 400, encoded, inject(masks, encoded.token_masks, MaskInjector(cross_weight=9.0))
        )
        masks[0, -1, :4] = 1
        named = prior.denoise(
            latents(1), 400, encoded, inject(masks, encoded.token_masks, MaskInjector(cross_weight=9.0))
        )
        assert not torch.allclose(plain, named)


def test_timestep_that_the_scheduler_lacks(prior):
    with pytest.raises(ValueError, match='timestep'):
        prior.alpha_cumprod(1000)


def test_features_restore_the_model(prior):
    prompts = prior.encode_prompts([['sky']], TEMPLATE)
    features = prior.denoiser_features(latents(1), 100, prompts)
    assert features.ndim == 4
    assert all(not block._forward_hooks for block in prior.unet.up_blocks)


class TestHubFormats:
    """What Stable Diffusion's repositories hold, which differs from what this diffusers writes."""

    @pytest.fixture
    def folder(self, prior_folder, tmp_path):
        shutil.copytree(prior_folder, tmp_path / 'prior')
        return tmp_path / 'prior'

    def same_output(self, prior, folder, **options):
        loaded = load_prior(folder, **options)
        prompts = [['hot air balloon', 'sky']]
        encoded = loaded.encode_prompts(prompts, TEMPLATE)
        expected = prior.encode_prompts(prompts, TEMPLATE)
        assert torch.equal(encoded.token_masks, expected.token_masks)
        torch.testing.assert_close(encoded.embeds, expected.embeds)
        torch.testing.assert_close(
            loaded.denoise(latents(1), 400, encoded), prior.denoise(latents(1), 400, expected), atol=1e-5, rtol=1e-5
        )

    def test_tokenizer_of_vocabulary_and_merges(self, prior, folder):
        written = json.loads((folder / 'tokenizer/tokenizer.json').read_text())['model']
        (folder / 'tokenizer/tokenizer.json').unlink()
        (folder / 'tokenizer/vocab.json').write_text(json.dumps(written['vocab']))
        merges = [m if isinstance(m, str) else ' '.join(m) for m in written['merges']]
        (folder / 'tokenizer/merges.txt').write_text('\n'.join(['#version: 0.2', *merges]) + '\n')
        self.same_output(prior, folder)

    def test_text_encoder_keys_under_text_model(self, prior, folder):
        from safetensors.torch import load_file, save_file

        path = folder / 'text_encoder/model.safetensors'
        weights = {f'text_model.{name.removeprefix("text_model.")}': w for name, w in load_file(path).items()}
        save_file(weights, path, metadata={'format': 'pt'})
        self.same_output(prior, folder)

    def test_pickled_weights(self, prior, folder):
        from safetensors.torch import load_file

        for part, name in (('unet', 'diffusion_pytorch_model'), ('vae', 'diffusion_pytorch_model')):
            path = folder / part / f'{name}.safetensors'
            torch.save(load_file(path), path.with_suffix('.bin'))
            path.unlink()
        self.same_output(prior, folder)

    def test_variant(self, prior, folder):
        for path in list(folder.rglob('*.safetensors')):
            path.rename(path.with_suffix('.fp16.safetensors'))
        self.same_output(prior, folder, variant='fp16')

    def test_scheduler_of_another_kind(self, prior, folder):
        """SD 1.5 ships a PNDM scheduler; only its noise schedule counts here."""
        path = folder / 'scheduler/scheduler_config.json'
        config = json.loads(path.read_text())
        for key in ('clip_sample', 'prediction_type', 'timestep_spacing'):
            config.pop(key, None)
        path.write_text(json.dumps({**config, '_class_name': 'PNDMScheduler', 'skip_prk_steps': True}))
        self.same_output(prior, folder)
        assert load_prior(folder).prediction_type == 'epsilon'

    def test_safety_checker_in_the_index_is_ignored(self, prior, folder):
        path = folder / 'model_index.json'
        index = json.loads(path.read_text())
        index['safety_checker'] = ['stable_diffusion', 'StableDiffusionSafetyChecker']
        path.write_text(json.dumps(index))
        self.same_output(prior, folder)
