import json
import shutil

import pytest
import torch

from mmseg_g4seg.diffusion.families.stable_diffusion_3 import T5_LENGTH
from mmseg_g4seg.diffusion.loading import load_prior
from tests.diffusion.injections import inject
from tests.diffusion.oracles import explicit_masks, joint_bias
from tests.diffusion.pipelines import build_sd3, save

TEMPLATE = 'a photo of {name}'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return save(build_sd3(), tmp_path_factory.mktemp('sd3'))


def test_clips_and_t5s_tokens_both_name_a_class(folder):
    prior = load_prior(folder)
    masks = prior.encode_prompts([['sky', 'hot air balloon']], TEMPLATE).token_masks[0]
    clip, t5 = masks[:, :48], masks[:, 48:]
    assert clip.sum(1).tolist() == t5.sum(1).tolist() == [1, 3]


class TestWithoutT5:
    @pytest.fixture(scope='class')
    def case(self, tmp_path_factory):
        pipeline = build_sd3(t5=False)
        return pipeline, save(pipeline, tmp_path_factory.mktemp('sd3'))

    @torch.no_grad()
    def test_output_is_diffusers_own(self, case):
        pipeline, folder = case
        prior = load_prior(folder)
        encoded = prior.encode_prompts([['sky']], TEMPLATE)
        embeds, _, pooled, _ = pipeline.encode_prompt(*['a photo of sky'] * 3, do_classifier_free_guidance=False)
        torch.testing.assert_close(encoded.embeds, embeds)
        torch.testing.assert_close(encoded.pooled, pooled)
        assert encoded.embeds.shape[1] == 48 + T5_LENGTH
        assert not encoded.token_masks[..., 48:].any()

    def test_part_that_the_index_names_is_expected(self, case, folder, tmp_path):
        shutil.copytree(folder, tmp_path / 'copy')
        shutil.rmtree(tmp_path / 'copy/text_encoder_3')
        with pytest.raises(FileNotFoundError, match="'text_encoder_3' is missing"):
            load_prior(tmp_path / 'copy')
        index = json.loads((tmp_path / 'copy/model_index.json').read_text())
        for part in ('text_encoder_3', 'tokenizer_3'):
            index[part] = [None, None]
        (tmp_path / 'copy/model_index.json').write_text(json.dumps(index))
        assert load_prior(tmp_path / 'copy').t5 is None

    def test_encoder_without_tokenizer(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / 'copy')
        index = json.loads((folder / 'model_index.json').read_text())
        (tmp_path / 'copy/model_index.json').write_text(json.dumps({**index, 'tokenizer_3': [None, None]}))
        with pytest.raises(ValueError, match='tokenizer_3'):
            load_prior(tmp_path / 'copy')


def test_first_release(tmp_path):
    """SD 3 has no dual attention and does not normalise queries and keys."""
    prior = load_prior(save(build_sd3(dual_attention_layers=(), qk_norm=None), tmp_path))
    encoded = prior.encode_prompts([['sky']], TEMPLATE)
    noisy = torch.randn(1, 4, 8, 8)
    injection = inject(torch.rand(1, 1, 8, 8), encoded.token_masks)
    with explicit_masks(prior.transformer, joint_bias(injection, patch_size=2, text_first=False)) as layers:
        expected = prior.denoise(noisy, 400, encoded)
    assert layers == [(88, 88, True)] * 3
    torch.testing.assert_close(prior.denoise(noisy, 400, encoded, injection), expected, atol=1e-5, rtol=1e-4)


def test_size_beyond_the_positions_learned(folder):
    prior = load_prior(folder)
    assert prior.image_multiple == 8
    prior.check_image_size((96, 96))
    with pytest.raises(ValueError, match='sides of at most 96, got'):
        prior.check_image_size((104, 64))


def test_the_schedulers_shift_counts(folder):
    prior = load_prior(folder)
    # shift 3 of the unshifted level 0.401
    assert prior.sigma(400) == pytest.approx(3 * 0.401 / (1 + 2 * 0.401), rel=1e-4)
    prior.scheduler.set_timesteps(4)
    assert prior.sigma(999) == 1.0
