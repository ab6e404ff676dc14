"""A tiny autoencoder in place of a prior's own, on random weights that diffusers wrote."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file, save_file

from mmseg_g4seg import build_refiner
from mmseg_g4seg.diffusion.loading import load_prior
from tests.conftest import NAMES, random_case
from tests.diffusion.pipelines import build_flux, build_sd3, build_sdxl, save


def build_tiny(folder, latent_channels=4, levels=3):
    torch.manual_seed(5)
    widths, blocks = (8,) * levels, (1,) * levels
    tiny = AutoencoderTiny(
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        num_encoder_blocks=blocks,
        num_decoder_blocks=blocks,
        latent_channels=latent_channels,
    )
    tiny.save_pretrained(folder)
    return tiny.eval()


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp('taesd')
    return build_tiny(folder), folder


@pytest.fixture
def images():
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_latents_and_pixels_are_diffusers_own(prior_folder, tiny, images):
    autoencoder, folder = tiny
    prior = load_prior(prior_folder, autoencoder=folder)
    assert isinstance(prior.vae, AutoencoderTiny)
    expected = autoencoder.encode(images * 2 - 1).latents
    latents = prior.encode_images(images)
    torch.testing.assert_close(latents, expected)
    decoded = (autoencoder.decode(expected).sample + 1) / 2
    torch.testing.assert_close(prior.decode_latents(latents), decoded.clamp(0, 1))
    assert prior.latent_stride == 4


@pytest.mark.parametrize('build', [build_sdxl, build_sd3, build_flux])
def test_of_every_family(build, tmp_path, images):
    folder = save(build(), tmp_path / 'prior')
    config = json.loads((folder / 'vae/config.json').read_text())
    build_tiny(tmp_path / 'tiny', config['latent_channels'], len(config['block_out_channels']))
    prior = load_prior(folder, autoencoder=tmp_path / 'tiny', dtype='bfloat16')
    latents = prior.encode_images(images)
    assert latents.dtype == torch.float32
    assert latents.shape == load_prior(folder).encode_images(images).shape
    assert torch.isfinite(prior.decode_latents(latents)).all()


def test_refines_end_to_end(prior_folder, tiny):
    image, coarse = random_case()
    prior = dict(source=str(prior_folder), autoencoder=str(tiny[1]))
    config = dict(type='G4SegRefiner', prior=prior, image_size=32)
    refined = build_refiner(config).refine(image, coarse, NAMES)
    assert not torch.equal(refined.probs, coarse.probs)


class TestTiling:
    """It differs at the seams of images that are larger than a tile."""

    def test_large_images_go_tile_by_tile(self, prior_folder, tmp_path):
        """An autoencoder trained on 32 pixels takes 96 in tiles."""
        folder = shutil.copytree(prior_folder, tmp_path / 'prior')
        config = json.loads((folder / 'vae/config.json').read_text())
        (folder / 'vae/config.json').write_text(json.dumps({**config, 'sample_size': 32}))
        large = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
        prior, plain, sides = load_prior(folder, tiling=True), load_prior(folder), []
        prior.vae.decoder.register_forward_hook(lambda _module, args, _output: sides.append(args[0].shape[-1]))
        latents = plain.encode_images(large)
        assert prior.encode_images(large).shape == latents.shape
        difference = (prior.decode_latents(latents) - plain.decode_latents(latents)).abs().mean()
        assert max(sides) <= 8 < latents.shape[-1], 'tiles'
        assert 0 < float(difference) < 0.2

    def test_of_a_tiny_one_by_its_own_stride(self, prior_folder, tiny, images):
        """diffusers takes 8 for granted; here it is 4."""
        prior = load_prior(prior_folder, autoencoder=tiny[1], tiling=True)
        prior.vae.tile_sample_min_size, prior.vae.tile_latent_min_size = 32, 8
        plain = load_prior(prior_folder, autoencoder=tiny[1])
        large = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        latents = plain.encode_images(large)
        assert prior.encode_images(large).shape == latents.shape
        assert prior.decode_latents(latents).shape == large.shape


class TestBadInput:
    def test_latents_of_another_prior(self, prior_folder, tmp_path):
        build_tiny(tmp_path, latent_channels=16, levels=4)
        message = r'another prior than this\? latent channels: expected 4, got 16; .* cell: expected 4, got 8'
        with pytest.raises(ValueError, match=message):
            load_prior(prior_folder, autoencoder=tmp_path)

    def test_the_full_one(self, prior_folder):
        with pytest.raises(ValueError, match=r"expected config\.json of an AutoencoderTiny, got 'AutoencoderKL'"):
            load_prior(prior_folder, autoencoder=prior_folder / 'vae')

    def test_missing(self, prior_folder, tmp_path):
        with pytest.raises(FileNotFoundError, match='no such folder; expected one that diffusers wrote, or a hub id'):
            load_prior(prior_folder, autoencoder=tmp_path / 'nowhere')
        with pytest.raises(FileNotFoundError, match='nor a hub repository that could be reached'):
            load_prior(prior_folder, autoencoder='nobody/nothing')
        (tmp_path / 'empty').mkdir()
        with pytest.raises(FileNotFoundError, match=r'neither a local folder with config\.json'):
            load_prior(prior_folder, autoencoder=tmp_path / 'empty')

    def test_missing_weights(self, prior_folder, tiny, tmp_path):
        shutil.copytree(tiny[1], tmp_path / 'tiny')
        file = tmp_path / 'tiny/diffusion_pytorch_model.safetensors'
        tensors = load_file(file)
        tensors.popitem()
        save_file(tensors, file)
        with pytest.raises(ValueError, match='expected weights of every layer, 1 are missing'):
            load_prior(prior_folder, autoencoder=tmp_path / 'tiny')

    def test_without_weights(self, prior_folder, tiny, tmp_path):
        shutil.copy(tiny[1] / 'config.json', tmp_path)
        with pytest.raises(FileNotFoundError, match='its weights could not be loaded'):
            load_prior(prior_folder, autoencoder=tmp_path)
