import shutil

import pytest
import torch
from diffusers import AutoencoderTiny, StableDiffusionXLPipeline

from mmseg_g4seg.diffusion.loading import load_prior
from tests.diffusion.pipelines import build_sdxl, edit_config, save

TEMPLATE = 'a photo of {name}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return save(build_sdxl(), tmp_path_factory.mktemp('sdxl'))


@pytest.mark.parametrize(('dtype', 'expected'), [('float16', torch.float32), ('bfloat16', torch.bfloat16)])
def test_autoencoder_that_overflows_stays_in_float32(folder, dtype, expected):
    prior = load_prior(folder, dtype=dtype)
    assert prior.vae.config.force_upcast
    assert (prior.dtype, prior.vae.dtype) == (getattr(torch, dtype), expected)


def test_autoencoder_that_does_not_overflow_runs_in_float16(tmp_path):
    """Such as madebyollin/sdxl-vae-fp16-fix."""
    folder = save(build_sdxl(), tmp_path)
    edit_config(folder / 'vae/config.json', force_upcast=False)
    assert load_prior(folder, dtype='float16').vae.dtype == torch.float16


def test_pooled_vectors_of_parts_are_averaged(folder):
    prior = load_prior(folder)
    names = ['hot air balloon', 'brick wall'] * 9
    whole = prior.encode_prompts([names], TEMPLATE)
    assert whole.embeds.shape[1] == 2 * 48
    held = int(whole.token_masks[0, :, :48].any(dim=1).sum())
    first, second = (prior.encode_prompts([part], TEMPLATE) for part in (names[:held], names[held:]))
    torch.testing.assert_close(whole.pooled, (first.pooled + second.pooled) / 2)
    torch.testing.assert_close(whole.embeds, torch.cat([first.embeds, second.embeds], dim=1))


def test_the_images_size_is_a_condition(folder):
    prior = load_prior(folder)
    prompts = prior.encode_prompts([['sky']], TEMPLATE)
    conditions = prior.added_conditions(torch.zeros(1, 4, 8, 12), prompts)
    assert conditions['time_ids'].tolist() == [[32, 48, 0, 0, 32, 48]]


def test_tokenizers_that_disagree(folder, tmp_path):
    shutil.copytree(folder, tmp_path / 'copy')
    edit_config(tmp_path / 'copy/tokenizer_2/tokenizer_config.json', model_max_length=40)
    prior = load_prior(tmp_path / 'copy')
    with pytest.raises(ValueError, match='two tokenizers that place names alike'):
        prior.encode_prompts([['sky']], TEMPLATE)


def test_latents_that_are_normalised_by_channel(folder, tmp_path):
    """Playground 2.5's autoencoder: its means and deviations were ignored."""
    moments = dict(latents_mean=[-1.6, 1.1, 3.2, -0.9], latents_std=[8.0, 5.0, 9.0, 6.0])
    shutil.copytree(folder, tmp_path / 'copy')
    edit_config(tmp_path / 'copy/vae/config.json', **moments)
    plain, prior = load_prior(folder), load_prior(tmp_path / 'copy')
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    raw = plain.encode_images(images) / plain.vae.config.scaling_factor
    mean, std = (torch.tensor(v).view(1, 4, 1, 1) for v in moments.values())
    # StableDiffusionXLImg2ImgPipeline.prepare_latents
    expected = (raw - mean) * prior.vae.config.scaling_factor / std
    latents = prior.encode_images(images)
    torch.testing.assert_close(latents, expected)
    pipeline = StableDiffusionXLPipeline.from_pretrained(tmp_path / 'copy')
    scaled = latents * std / pipeline.vae.config.scaling_factor + mean
    decoded = (pipeline.vae.decode(scaled).sample / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(prior.decode_latents(latents), decoded)


def test_a_tiny_autoencoder_for_such_latents_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / 'copy')
    tiny = dict(encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8))
    AutoencoderTiny(**tiny, num_encoder_blocks=(1, 1, 1), num_decoder_blocks=(1, 1, 1)).save_pretrained(
        tmp_path / 'taesd'
    )
    load_prior(tmp_path / 'copy', autoencoder=tmp_path / 'taesd')
    edit_config(tmp_path / 'copy/vae/config.json', latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    with pytest.raises(ValueError, match=r'made for another prior than this\? latents_mean: expected'):
        load_prior(tmp_path / 'copy', autoencoder=tmp_path / 'taesd')
