"""Half precision alone, as many repositories have it."""

import shutil

import pytest
import torch

from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.weights.controlnet import load_controlnet
from mmseg_g4seg.diffusion.weights.hub import find_variant
from tests.conftest import build_random_parts
from tests.diffusion.pipelines import build_controlnet


def rename(folder, variant):
    for file in list(folder.rglob('*.safetensors')):
        file.rename(file.with_suffix(f'.{variant}.safetensors'))


@pytest.mark.parametrize('variant', ['fp16', 'non_ema'])
def test_the_only_variant_is_found(prior_folder, tmp_path, variant):
    folder = shutil.copytree(prior_folder, tmp_path / 'prior')
    rename(folder, variant)
    found, plain = load_prior(folder), load_prior(prior_folder)
    for network, other in zip(found.networks, plain.networks, strict=True):
        for weight, same in zip(network.parameters(), other.parameters(), strict=True):
            assert torch.equal(weight, same)


def test_of_one_part_alone(prior_folder, tmp_path):
    folder = shutil.copytree(prior_folder, tmp_path / 'prior')
    rename(folder / 'unet', 'fp16')
    load_prior(folder)


def test_of_a_controlnet(tmp_path):
    build_controlnet(build_random_parts().unet).save_pretrained(tmp_path)
    rename(tmp_path, 'fp16')
    load_controlnet(tmp_path, dtype=torch.float32)


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        (['model.safetensors', 'model.fp16.safetensors'], None),
        (['model.fp16.safetensors', 'config.json', 'merges.txt'], 'fp16'),
        (['diffusion_pytorch_model.fp16-00001-of-00002.safetensors', 'x.index.fp16.json'], 'fp16'),
        (['diffusion_pytorch_model-00001-of-00002.fp16.bin'], 'fp16'),
        (['diffusion_pytorch_model-00001-of-00002.safetensors'], None),
        (['pytorch_model.non_ema.bin', 'pytorch_model.fp16.bin'], 'fp16'),
        (['openvino_model.bin', 'flax_model.msgpack'], None),
        ([], None),
    ],
)
def test_by_the_names_of_files(tmp_path, names, expected):
    for name in names:
        (tmp_path / name).touch()
    assert find_variant(tmp_path) == expected
    assert find_variant(tmp_path / 'owner' / 'name') is None


def test_without_weights_the_message_names_it(prior_folder, tmp_path):
    """What diffusers downloads of a repository with half precision alone, when no variant is asked for."""
    folder = shutil.copytree(prior_folder, tmp_path / 'prior')
    next((folder / 'unet').glob('*.safetensors')).unlink()
    with pytest.raises(FileNotFoundError, match=r"the part 'unet' could not be loaded: .* give variant='fp16'"):
        load_prior(folder)
