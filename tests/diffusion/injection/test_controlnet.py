"""ControlNets of SD 1.x, SD 2.x and LCM, tiny and with random weights, written by diffusers and loaded by us."""

import json
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from diffusers import ControlNetModel, StableDiffusionControlNetPipeline
from safetensors.torch import load_file, save_file

from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
from mmseg_g4seg.diffusion.injection.attention import MaskInjection
from mmseg_g4seg.diffusion.injection.controlnet import check_controlnet
from mmseg_g4seg.diffusion.inversion import InversionSettings, Sampler
from mmseg_g4seg.diffusion.weights.loading import load_prior
from tests.conftest import build_random_parts
from tests.diffusion.oracles import explicit_masks, unet_bias
from tests.diffusion.pipelines import (
    build_controlnet,
    build_flux,
    build_lcm,
    build_sd3,
    build_sdxl,
    build_unet,
    edit_config,
    save,
)

TEMPLATE = 'a photo of {name}'
PROMPT = 'a photo of hot air balloon, sky'
PROMPTS = [['hot air balloon', 'sky'], ['fish']]
OFF = {'cross_weight': 0.0, 'self_weight': 0.0}
BASES = {
    'sd1': {},
    'sd2': {'prediction_type': 'v_prediction', 'upcast_attention': True, 'use_linear_projection': True},
}


def latents(batch=2, seed=0, height=8, width=8):
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(seed))


def layout(encoded, height=8, width=8, **options):
    """A layout with overlapping shares, and a control image that tells its images apart."""
    images, regions = encoded.token_masks.shape[:2]
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(images, regions + 1, height, width, generator=generator).softmax(1)[:, :regions]
    control = torch.rand(images, 3, 4 * height, 4 * width, generator=generator)
    return MaskInjection(masks.round(decimals=2), encoded.token_masks, control_image=control, **options)


@pytest.fixture(scope='module', params=list(BASES))
def folders(request, tmp_path_factory):
    """Folders of a prior, of a ControlNet for it, and of one that was only just made."""
    folder = tmp_path_factory.mktemp(request.param)
    parts = build_random_parts(**BASES[request.param])
    parts.save(folder / 'prior')
    build_controlnet(parts.unet).save_pretrained(folder / 'controlnet')
    build_controlnet(parts.unet, trained=False).save_pretrained(folder / 'new')
    return folder / 'prior', folder / 'controlnet', folder / 'new'


@pytest.fixture(scope='module')
def prior(folders):
    return load_prior(folders[0], controlnet=folders[1])


@pytest.fixture(scope='module')
def plain(folders):
    return load_prior(folders[0])


@pytest.fixture
def encoded(prior):
    return prior.encode_prompts(PROMPTS, TEMPLATE)


def without_control(injection):
    return replace(injection, control_image=None)


class TestOutput:
    @torch.no_grad()
    def test_is_what_diffusers_pipeline_computes(self, folders, prior):
        pipeline = StableDiffusionControlNetPipeline.from_pretrained(
            folders[0], controlnet=ControlNetModel.from_pretrained(folders[1]), safety_checker=None
        )
        embeds, _ = pipeline.encode_prompt(PROMPT, 'cpu', 1, False)
        own = layout(prior.encode_prompts(PROMPTS[:1], TEMPLATE), control_scale=0.7, **OFF)
        down, middle = pipeline.controlnet(
            latents(1), 400, embeds, own.control_image, conditioning_scale=0.7, return_dict=False
        )
        expected = pipeline.unet(
            latents(1), 400, embeds, down_block_additional_residuals=down, mid_block_additional_residual=middle
        ).sample
        actual = prior.denoise(latents(1), 400, prior.encode_prompts(PROMPTS[:1], TEMPLATE), own)
        torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)

    def test_beside_injection_into_attention(self, prior, encoded):
        """The U-Net's attention under explicit masks, the ControlNet's own untouched."""
        injection = layout(encoded, cross_weight=3.0, self_weight=2.0, control_scale=0.5)
        down, middle = prior.controlnet(
            latents(), 400, encoded.embeds, injection.control_image, conditioning_scale=0.5, return_dict=False
        )
        with explicit_masks(prior.unet, unet_bias(injection)) as log:
            expected = prior.unet(
                latents(),
                400,
                encoded.embeds,
                down_block_additional_residuals=down,
                mid_block_additional_residual=middle,
            ).sample
        assert len(log) == len(prior.unet.attn_processors)
        actual = prior.denoise(latents(), 400, encoded, injection)
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
        assert (actual - prior.denoise(latents(), 400, encoded, replace(injection, **OFF))).abs().max() > 1e-3
        assert (actual - prior.denoise(latents(), 400, encoded, without_control(injection))).abs().max() > 1e-2

    def test_a_scale_of_0_is_no_controlnet(self, prior, plain, encoded):
        injection = layout(encoded, control_scale=0.0)
        expected = plain.denoise(latents(), 400, encoded, without_control(injection))
        assert torch.equal(prior.denoise(latents(), 400, encoded, injection), expected)
        assert torch.equal(
            prior.denoise(latents(), 400, encoded, replace(injection, **OFF)), plain.denoise(latents(), 400, encoded)
        )

    def test_no_image_is_no_controlnet(self, prior, plain, encoded):
        assert torch.equal(prior.denoise(latents(), 400, encoded), plain.denoise(latents(), 400, encoded))

    def test_one_just_made_is_no_controlnet(self, folders, plain, encoded):
        new, injection = load_prior(folders[0], controlnet=folders[2]), layout(encoded)
        expected = plain.denoise(latents(), 400, encoded, without_control(injection))
        assert torch.equal(new.denoise(latents(), 400, encoded, injection), expected)

    def test_every_image_has_its_own(self, prior, encoded):
        injection = layout(encoded, **OFF)
        together = prior.denoise(latents(), 400, encoded, injection)
        for i in range(2):
            one = slice(i, i + 1)
            alone = prior.denoise(latents()[one], 400, encoded[one], injection.take([i], encoded.embeds.shape[1]))
            torch.testing.assert_close(together[one], alone, atol=1e-5, rtol=1e-4)
        swapped = replace(injection, control_image=injection.control_image.flip(0))
        assert (prior.denoise(latents(), 400, encoded, swapped) - together).abs().max() > 1e-3

    @pytest.mark.parametrize('size', [(4, 4), (12, 8), (8, 20)])
    def test_sizes(self, prior, encoded, size):
        height, width = size
        output = prior.denoise(latents(2, 0, *size), 400, encoded, layout(encoded, height, width))
        assert output.shape == (2, 4, height, width)
        assert torch.isfinite(output).all()

    @pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
    def test_half_precision(self, folders, prior, encoded, dtype):
        half = load_prior(folders[0], controlnet=folders[1], dtype=dtype)
        assert half.controlnet.dtype == getattr(torch, dtype)
        own = half.encode_prompts(PROMPTS, TEMPLATE)
        expected = prior.denoise(latents(), 400, encoded, layout(encoded))
        actual = half.denoise(latents(), 400, own, layout(encoded))
        assert actual.dtype == torch.float32
        torch.testing.assert_close(actual, expected, atol=0.15, rtol=0.1)
        assert (actual - expected).square().mean() < 0.01 * expected.var()

    def test_frozen_but_differentiable(self, prior, encoded):
        assert not any(weight.requires_grad for weight in prior.controlnet.parameters())
        noisy = latents().requires_grad_()
        prior.denoise(noisy, 400, encoded, layout(encoded)).sum().backward()
        assert torch.isfinite(noisy.grad).all()

    def test_guidance_controls_the_prompted_pass_alone(self, prior, encoded):
        empty = prior.encode_prompts([[], []], '{name}')
        sampler = Sampler(prior, encoded, empty, InversionSettings(guidance_scale=3.0))
        injection = layout(encoded)
        named, nothing = prior.denoise(latents(), 400, encoded, injection), prior.denoise(latents(), 400, empty)
        expected = nothing + 3 * (named - nothing)
        torch.testing.assert_close(sampler.guided(latents(), 400, empty, injection), expected)


def test_lcm_takes_one_of_its_base(tmp_path):
    """A distilled U-Net reads a guidance scale; the ControlNet of its base reads none."""
    pipeline = build_lcm()
    folder = save(pipeline, tmp_path / 'lcm')
    controlnet = build_controlnet(build_random_parts().unet)
    controlnet.save_pretrained(tmp_path / 'controlnet')
    prior = load_prior(folder, controlnet=tmp_path / 'controlnet', guidance_scale=2.0)
    encoded = prior.encode_prompts(PROMPTS[:1], TEMPLATE)
    injection = layout(encoded, **OFF)
    with torch.no_grad():
        down, middle = controlnet(latents(1), 400, encoded.embeds, injection.control_image, return_dict=False)
        guidance = pipeline.get_guidance_scale_embedding(torch.tensor([1.0]), embedding_dim=16)
        expected = pipeline.unet(
            latents(1),
            400,
            encoded.embeds,
            timestep_cond=guidance,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
    torch.testing.assert_close(prior.denoise(latents(1), 400, encoded, injection), expected, atol=1e-5, rtol=1e-4)


def test_hub_id_is_asked_for_configs_first(folders, monkeypatch):
    asked, methods = [], {name: getattr(ControlNetModel, name) for name in ('load_config', 'from_pretrained')}

    def ask(name, place, **options):
        if place == 'owner/name':
            asked.append((name, options.get('torch_dtype')))
        return methods[name](folders[1], **options)

    for name in methods:
        monkeypatch.setattr(ControlNetModel, name, partial(ask, name))
    assert load_prior(folders[0], controlnet='owner/name', dtype='bfloat16').reads_control_image
    assert asked == [('load_config', None), ('from_pretrained', torch.bfloat16)]


@pytest.mark.parametrize('controlnet', [768, 1024])
@pytest.mark.parametrize('unet', [768, 1024])
def test_stable_diffusion_1_and_2_are_told_apart(unet, controlnet):
    """By the width of their text encoders; all else is as diffusers' default."""
    configs = {'cross_attention_dim': controlnet}, {'cross_attention_dim': unet, 'layers_per_block': [2, 2, 2, 2]}
    if unet == controlnet:
        check_controlnet(*configs, latent_stride=8)
    else:
        with pytest.raises(ValueError, match=rf'expected \({unet}, .*got \({controlnet}, .*{controlnet}\)$'):
            check_controlnet(*configs, latent_stride=8)


class TestRefusing:
    @pytest.fixture
    def weightless(self, folders, tmp_path):
        """A prior whose configs alone can be read: whatever fails with it failed before the work."""
        shutil.copytree(folders[0], tmp_path / 'prior', ignore=shutil.ignore_patterns('*.safetensors'))
        return tmp_path / 'prior'

    def refuses(self, prior, tmp_path, message, **base):
        options = {'cross_attention_dim': 32, **base}
        build_controlnet(build_unet(**options)).save_pretrained(tmp_path / 'other')
        with pytest.raises(ValueError, match=message):
            load_prior(prior, controlnet=tmp_path / 'other')

    def test_another_depth(self, weightless, tmp_path):
        self.refuses(
            weightless,
            tmp_path,
            r"controlnet '.*other' on the prior .*made for another base.*"
            r'block_out_channels: expected \(16, 32, 32\), got \(16, 32\)',
        )

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'cross_attention_dim': 48}, r'cross_attention_dim: expected \(32, 32, 32\), got \(48, 48, 48\)'),
            ({'block_out_channels': [16, 32, 64]}, r'block_out_channels: expected \(16, 32, 32\), got \(16, 32, 64\)'),
            ({'layers_per_block': 2}, r'layers_per_block: expected \(1, 1, 1\), got \(2, 2, 2\)'),
            ({'in_channels': 9}, 'in_channels: expected 4, got 9'),
            ({'addition_embed_type': 'text_time'}, 'addition_embed_type: expected None, got text_time'),
            ({'conditioning_channels': 1}, 'channels of the control image: expected 3, got 1'),
            (
                {'conditioning_embedding_out_channels': [16, 32, 96, 256]},
                'image pixels a latent cell: expected 4, got 8',
            ),
            ({'_class_name': 'SD3ControlNetModel'}, "expected config.json of a ControlNetModel, got 'SD3Control"),
        ],
        ids=lambda value: '' if isinstance(value, str) else next(iter(value)),
    )
    def test_made_for_another_base(self, folders, weightless, tmp_path, changes, message):
        shutil.copytree(folders[1], tmp_path / 'changed')
        edit_config(tmp_path / 'changed' / 'config.json', **changes)
        with pytest.raises(ValueError, match=message):
            load_prior(weightless, controlnet=tmp_path / 'changed')

    def test_configs_that_say_the_same_in_other_words(self, folders, tmp_path):
        shutil.copytree(folders[0], tmp_path / 'prior')
        edit_config(tmp_path / 'prior' / 'unet' / 'config.json', cross_attention_dim=[32, 32, 32])
        assert load_prior(tmp_path / 'prior', controlnet=folders[1]).reads_control_image
        shutil.copytree(folders[1], tmp_path / 'controlnet')
        file = tmp_path / 'controlnet' / 'config.json'
        config = json.loads(file.read_text())
        for name in ('in_channels', 'addition_embed_type', 'conditioning_channels'):  # diffusers' defaults
            del config[name]
        file.write_text(json.dumps(config))
        assert load_prior(folders[0], controlnet=tmp_path / 'controlnet').reads_control_image

    def test_built_parts_are_checked_too(self, plain):
        other = build_controlnet(build_unet(cross_attention_dim=32))
        with pytest.raises(ValueError, match=r'controlnet: made for another base .*block_out_channels'):
            StableDiffusionPrior(
                plain.vae,
                unet=plain.unet,
                text_encoder=plain.text_encoder,
                tokenizer=plain.tokenizer,
                scheduler=plain.scheduler,
                controlnet=other,
            )

    @pytest.mark.parametrize('build', [build_sdxl, build_sd3, build_flux])
    def test_families_without(self, folders, tmp_path, build):
        folder = save(build(), tmp_path / 'prior')
        for file in folder.rglob('*.safetensors'):
            file.unlink()
        with pytest.raises(
            ValueError, match=r"controlnet .*expected a prior of \['LatentConsistency.*got a (Stable|Flux)"
        ):
            load_prior(folder, controlnet=folders[1])

    @pytest.mark.parametrize('build', [None, build_sdxl, build_sd3, build_flux])
    def test_image_without_a_controlnet(self, plain, tmp_path, build):
        prior = plain if build is None else load_prior(save(build(), tmp_path / 'prior'))
        encoded = prior.encode_prompts(PROMPTS, TEMPLATE)
        with pytest.raises(ValueError, match='control_image: expected a prior with a ControlNet'):
            prior.denoise(latents(), 400, encoded, layout(encoded))

    def test_missing_folder_is_found_before_the_prior(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"controlnet '.*nowhere': no such folder"):
            load_prior(tmp_path / 'prior', controlnet=tmp_path / 'nowhere')

    def test_folder_without_config(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'controlnet .*config\.json'):
            load_prior(tmp_path / 'prior', controlnet=tmp_path)

    def test_hub_id_that_cannot_be_reached(self, folders):
        with pytest.raises(FileNotFoundError, match=r'controlnet .*nor a hub repository'):
            load_prior(folders[0], controlnet='nobody/nothing')

    def test_folder_without_weights(self, folders, tmp_path):
        shutil.copytree(folders[1], tmp_path / 'empty', ignore=shutil.ignore_patterns('*.safetensors'))
        with pytest.raises(FileNotFoundError, match=r'controlnet .*weights could not be loaded'):
            load_prior(folders[0], controlnet=tmp_path / 'empty')

    def test_weights_that_lack_a_layer(self, folders, tmp_path):
        shutil.copytree(folders[1], tmp_path / 'part')
        file = next((tmp_path / 'part').glob('*.safetensors'))
        weights = load_file(file)
        del weights['controlnet_mid_block.weight']
        save_file(weights, file, metadata={'format': 'pt'})
        with pytest.raises(ValueError, match=r"1 are missing, such as 'controlnet_mid_block\.weight'"):
            load_prior(folders[0], controlnet=tmp_path / 'part')

    @pytest.mark.parametrize('shape', [(1, 3, 32, 32), (2, 4, 32, 32), (3, 32, 32)])
    def test_control_image_of_another_shape(self, encoded, shape):
        with pytest.raises(ValueError, match=r'control_image: expected \(2, 3, H, W\)'):
            replace(layout(encoded), control_image=torch.rand(shape))

    @pytest.mark.parametrize('size', [(16, 32), (33, 32), (8, 8)])
    def test_control_image_of_another_size(self, prior, encoded, size):
        with pytest.raises(ValueError, match=r'control_image: expected \(2, 3, 32, 32\)'):
            prior.denoise(latents(), 400, encoded, replace(layout(encoded), control_image=torch.rand(2, 3, *size)))
