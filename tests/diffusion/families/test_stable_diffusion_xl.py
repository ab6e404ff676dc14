import shutil

import pytest
import torch

from mmseg_g4seg.diffusion.weights.loading import load_prior
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
    conditions = prior._added_conditions(torch.zeros(1, 4, 8, 12), prompts)
    assert conditions['time_ids'].tolist() == [[32, 48, 0, 0, 32, 48]]


def test_tokenizers_that_disagree(folder, tmp_path):
    shutil.copytree(folder, tmp_path / 'copy')
    edit_config(tmp_path / 'copy/tokenizer_2/tokenizer_config.json', model_max_length=40)
    prior = load_prior(tmp_path / 'copy')
    with pytest.raises(ValueError, match='two tokenizers that place names alike'):
        prior.encode_prompts([['sky']], TEMPLATE)
