import pytest
import torch
from diffusers import AutoencoderKL

from mmseg_g4seg.diffusion.families.flux import FluxPrior, _image_positions
from mmseg_g4seg.diffusion.injection import MaskInjector
from mmseg_g4seg.diffusion.inversion import InversionSettings, check_inversion
from mmseg_g4seg.diffusion.loading import load_prior
from tests.diffusion.injections import inject
from tests.diffusion.oracles import explicit_masks, joint_bias
from tests.diffusion.pipelines import T5_LENGTH, build_flux, save

TEMPLATE = 'a photo of {name}'


class TestWithoutGuidance:
    """FLUX.1 [schnell]."""

    @pytest.fixture(scope='class')
    def case(self, tmp_path_factory):
        pipeline = build_flux(guidance_embeds=False)
        return pipeline, save(pipeline, tmp_path_factory.mktemp('schnell'))

    @torch.no_grad()
    def test_output_is_diffusers_own(self, case):
        pipeline, folder = case
        prior = load_prior(folder)
        embeds, pooled, text_ids = pipeline.encode_prompt('a photo of sky', device='cpu', max_sequence_length=T5_LENGTH)
        encoded = prior.encode_prompts([['sky']], TEMPLATE)
        torch.testing.assert_close(encoded.embeds, embeds)
        torch.testing.assert_close(encoded.pooled, pooled)
        noisy = torch.randn(1, 4, 4, 12)
        output = pipeline.transformer(
            hidden_states=pipeline._pack_latents(noisy, 1, 4, 4, 12),
            encoder_hidden_states=embeds,
            pooled_projections=pooled,
            timestep=torch.tensor([prior.sigma(400)]),
            img_ids=pipeline._prepare_latent_image_ids(1, 2, 6, 'cpu', embeds.dtype),
            txt_ids=text_ids,
        ).sample
        expected = pipeline._unpack_latents(output, 16, 48, 4)
        torch.testing.assert_close(prior.denoise(noisy, 400, encoded), expected, atol=1e-5, rtol=1e-5)

    def test_guidance_scale_is_refused(self, case):
        with pytest.raises(ValueError, match=r'guidance_scale: .* reads none'):
            load_prior(case[1], guidance_scale=3.5)

    def test_inversion_is_not_guided(self, case):
        prior = load_prior(case[1])
        check_inversion(prior, InversionSettings(guidance_scale=1))
        with pytest.raises(ValueError, match=r'guidance: expected 1, .* distilled to need none, got 7\.5'):
            check_inversion(prior, InversionSettings())


@pytest.mark.parametrize(('guidance_embeds', 'expected'), [(True, 512), (False, 256)])
def test_length_of_t5s_sequence(tmp_path, guidance_embeds, expected):
    pipeline = build_flux(guidance_embeds=guidance_embeds)
    pipeline.tokenizer_2.model_max_length = 600
    prior = load_prior(save(pipeline, tmp_path))
    assert prior.encode_prompts([['sky']], TEMPLATE).embeds.shape[1] == expected


def test_image_size_is_the_pipelines_own():
    """With an autoencoder by 8, as FLUX.1's; 512 was taken for what a config does not say."""
    pipeline = build_flux()
    blocks = dict(down_block_types=['DownEncoderBlock2D'] * 4, up_block_types=['UpDecoderBlock2D'] * 4)
    vae = AutoencoderKL(block_out_channels=(4,) * 4, latent_channels=4, norm_num_groups=4, **blocks)
    prior = FluxPrior(**{**{name: getattr(pipeline, name) for name in FluxPrior.parts}, 'vae': vae})
    assert prior.trained_image_size == pipeline.default_sample_size * 8


def test_many_regions_equal_explicit_masks(tmp_path):
    """A rank that pads the head dimension."""
    prior = load_prior(save(build_flux(), tmp_path))
    encoded = prior.encode_prompts([['sky', 'fish', 'grass', 'brick wall', 'hot air balloon']], TEMPLATE)
    masks = torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(0)).softmax(1)[:, :5]
    injection = inject(masks, encoded.token_masks, MaskInjector(cross_weight=2.0, self_weight=1.0))
    noisy = torch.randn(1, 4, 8, 8)
    with explicit_masks(prior.transformer, joint_bias(injection, patch_size=2, text_first=True, single=True)) as layers:
        expected = prior.denoise(noisy, 400, encoded)
    # two double blocks, then two single ones, whose text is in the sequence already
    assert layers == [(40, 40, True)] * 2 + [(40, 40, False)] * 2
    torch.testing.assert_close(prior.denoise(noisy, 400, encoded, injection), expected, atol=1e-5, rtol=1e-4)


def test_image_positions_are_diffusers_own():
    from diffusers import FluxPipeline

    expected = FluxPipeline._prepare_latent_image_ids(1, 3, 5, 'cpu', torch.float32)
    assert torch.equal(_image_positions(3, 5), expected)


def test_text_that_clip_cannot_read_is_cut(tmp_path):
    """T5 holds more names than CLIP: the pooled vector is of the text's beginning."""
    pipeline = build_flux()
    pipeline.tokenizer_2.model_max_length = 128
    prior = load_prior(save(pipeline, tmp_path))
    encoded = prior.encode_prompts([['hot air balloon', 'brick wall'] * 10], TEMPLATE)
    assert encoded.embeds.shape[1] == 128
    assert encoded.token_masks[0].sum(1).tolist() == [3, 2] * 10


def test_features_where_single_blocks_return_one_sequence(tmp_path):
    """As earlier diffusers' do: text first."""
    prior = load_prior(save(build_flux(), tmp_path))
    last, block = len(prior.feature_blocks) - 1, prior.feature_blocks[-1]
    assert block is prior.transformer.single_transformer_blocks[-1]
    encoded, noisy = prior.encode_prompts([['sky']], TEMPLATE), torch.randn(1, 4, 4, 12)
    expected = prior.denoiser_features(noisy, 400, encoded, block=last)
    block.register_forward_hook(lambda _, __, output: torch.cat(output, dim=1))
    torch.testing.assert_close(prior.denoiser_features(noisy, 400, encoded, block=last), expected, atol=0, rtol=0)
