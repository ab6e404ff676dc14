"""Shapes: O and I outputs and inputs of a layer, r rank."""

import json
from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import save_file

from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.diffusion.weights.lora import FILE_NAME, find_lora, fuse_lora
from tests.conftest import build_random_parts
from tests.diffusion.pipelines import build_flux, build_sdxl, save

TEMPLATE = 'a photo of {name}'
RANK, ALPHA = 3, 1.5
LINEAR = 'mid_block.attentions.0.transformer_blocks.0.attn2.to_k'
CONVOLUTION = 'down_blocks.0.resnets.0.conv1'
POINTWISE = 'down_blocks.0.attentions.0.proj_in'
UNET_LAYERS = (LINEAR, CONVOLUTION, POINTWISE)


def factors(layer, rank=RANK, seed=0):
    """(r, I, kernel) and (O, r, 1 ...) of a random adapter."""
    weight, generator = layer.weight, torch.Generator().manual_seed(seed)
    down = 0.3 * torch.randn(rank, *weight.shape[1:], generator=generator)
    return down, 0.3 * torch.randn(len(weight), rank, *[1] * (weight.ndim - 2), generator=generator)


def adapters(unet):
    return {name: factors(unet.get_submodule(name), seed=i) for i, name in enumerate(UNET_LAYERS)}


def kohya(pairs, part='lora_unet_'):
    tensors = {}
    for name, (down, up) in pairs.items():
        key = part + name.replace('.', '_')
        tensors |= {f'{key}.lora_down.weight': down, f'{key}.lora_up.weight': up, f'{key}.alpha': torch.tensor(ALPHA)}
    return tensors


def named(pairs, down, up, part='unet.'):
    tensors = {}
    for name, factors in pairs.items():
        tensors |= {f'{part}{name}.{down}.weight': factors[0], f'{part}{name}.{up}.weight': factors[1]}
    return tensors


def beside(unet, pairs, scale):
    """The oracle: each layer's adapter runs beside it, on the layer's own input."""
    stack = ExitStack()
    for name, (down, up) in pairs.items():
        layer = unet.get_submodule(name)

        def add(layer, inputs, output, down=down, up=up):
            if isinstance(layer, torch.nn.Conv2d):
                low = torch.nn.functional.conv2d(inputs[0], down, None, layer.stride, layer.padding)
                return output + scale * torch.nn.functional.conv2d(low, up)
            return output + scale * (inputs[0] @ down.T @ up.T)

        handle = layer.register_forward_hook(add)
        stack.callback(handle.remove)
    return stack


@pytest.fixture
def case(tmp_path):
    parts = build_random_parts()
    parts.save(tmp_path / 'prior')
    return adapters(parts.unet), tmp_path / 'prior', tmp_path / FILE_NAME


def denoise(prior):
    noisy = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    return prior.denoise(noisy, 400, prior.encode_prompts([['sky']], TEMPLATE))


class TestFusing:
    @pytest.mark.parametrize(
        ('write', 'metadata', 'scale'),
        [
            (kohya, {}, ALPHA / RANK),
            (lambda p: named(p, 'lora_A', 'lora_B'), {}, 1.0),
            (lambda p: named(p, 'lora.down', 'lora.up'), {}, 1.0),
            (lambda p: named(p, 'lora_A', 'lora_B'), {'unet.lora_alpha': 12, 'unet.r': RANK}, 4.0),
        ],
        ids=['kohya', 'peft', 'diffusers', 'peft with alpha'],
    )
    def test_equals_adapters_beside_the_layers(self, case, write, metadata, scale):
        pairs, folder, file = case
        save_file(write(pairs), file, metadata={'format': 'pt', 'lora_adapter_metadata': json.dumps(metadata)})
        plain = load_prior(folder)
        with beside(plain.unet, pairs, scale):
            expected = denoise(plain)
        actual = denoise(load_prior(folder, lora=file))
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(actual, denoise(plain), atol=1e-3)

    def test_in_half_precision(self, case):
        pairs, folder, file = case
        save_file(kohya(pairs), file)
        half = load_prior(folder, lora=file, dtype='bfloat16')
        assert half.dtype == torch.bfloat16
        torch.testing.assert_close(denoise(half), denoise(load_prior(folder, lora=file)), atol=0.1, rtol=0.1)

    @pytest.mark.parametrize('prefix', ['lora_te_text_model_', 'lora_te1_text_model_', 'lora_te_'])
    def test_text_encoder(self, case, prefix):
        _, folder, file = case
        layer = 'encoder.layers.0.self_attn.q_proj'
        text_encoder = load_prior(folder).text_encoder
        name = next(n for n, _ in text_encoder.named_modules() if n.endswith(layer))
        save_file(kohya({layer: factors(text_encoder.get_submodule(name))}, prefix), file)
        before = text_encoder.get_submodule(name).weight
        after = load_prior(folder, lora=file).text_encoder.get_submodule(name).weight
        assert not torch.allclose(before, after)

    @pytest.mark.parametrize(
        ('build', 'part', 'layer'),
        [
            (build_sdxl, 'text_encoder_2', 'encoder.layers.1.self_attn.v_proj'),
            (build_sdxl, 'unet', 'mid_block.attentions.0.transformer_blocks.0.attn1.to_q'),
            (build_flux, 'transformer', 'single_transformer_blocks.0.attn.to_q'),
        ],
    )
    def test_other_families(self, tmp_path, build, part, layer):
        pipeline = build()
        network = getattr(pipeline, part)
        name = next(n for n, _ in network.named_modules() if n.endswith(layer))
        down, up = factors(network.get_submodule(name))
        save_file(named({name: (down, up)}, 'lora_A', 'lora_B', f'{part}.'), tmp_path / FILE_NAME)
        expected = network.get_submodule(name).weight + up @ down
        fuse_lora({part: network}, tmp_path / FILE_NAME)
        torch.testing.assert_close(network.get_submodule(name).weight, expected)
        save(pipeline, tmp_path / 'prior')
        load_prior(tmp_path / 'prior', lora=tmp_path / FILE_NAME)

    def test_sdxl_by_the_names_of_stability_ai(self, tmp_path):
        """As most files for SDXL have them; diffusers' loader knows them too."""
        pipeline = build_sdxl()
        layers = {
            'lora_unet_input_blocks_1_0_in_layers_2': 'down_blocks.0.resnets.0.conv1',
            'lora_unet_middle_block_1_transformer_blocks_0_attn2_to_k': LINEAR,
            'lora_unet_output_blocks_0_1_proj_in': 'up_blocks.0.attentions.0.proj_in',
        }
        tensors, expected = {}, {}
        for seed, (key, name) in enumerate(layers.items()):
            layer = pipeline.unet.get_submodule(name)
            down, up = factors(layer, seed=seed)
            tensors |= {
                f'{key}.lora_down.weight': down,
                f'{key}.lora_up.weight': up,
                f'{key}.alpha': torch.tensor(ALPHA),
            }
            change = (up.flatten(1) @ down.flatten(1)).view_as(layer.weight) * ALPHA / RANK
            expected[name] = layer.weight.detach() + change
        save_file(tensors, tmp_path / FILE_NAME)
        fuse_lora({'unet': pipeline.unet}, tmp_path / FILE_NAME)
        for name, weight in expected.items():
            torch.testing.assert_close(pipeline.unet.get_submodule(name).weight, weight)


class TestRefusing:
    def test_missing_lora_is_found_before_the_prior(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'LoRA .*no such file or folder'):
            load_prior(tmp_path / 'nowhere', lora=tmp_path / 'lora')

    def test_folder_without_weights(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'expected pytorch_lora_weights\.safetensors or one .* got 0'):
            find_lora(tmp_path)

    def test_folder_with_several(self, tmp_path):
        for name in ('a', 'b'):
            save_file({'x': torch.zeros(1)}, tmp_path / f'{name}.safetensors')
        with pytest.raises(FileNotFoundError, match='got 2'):
            find_lora(tmp_path)
        save_file({'x': torch.zeros(1)}, tmp_path / FILE_NAME)
        assert find_lora(tmp_path) == tmp_path / FILE_NAME

    def test_hub_id_that_cannot_be_reached(self):
        with pytest.raises(FileNotFoundError, match='neither local nor a hub repository'):
            find_lora('nobody/nothing')

    @pytest.mark.parametrize('layer', ['down_blocks.7.resnets.0.conv1', 'mid_block.attentions.0.norm'])
    def test_made_for_another_base(self, case, layer):
        pairs, folder, file = case
        save_file(kohya({layer: pairs[LINEAR]}), file)
        with pytest.raises(ValueError, match='made for another base'):
            load_prior(folder, lora=file)

    def test_layer_of_another_width(self, case):
        pairs, folder, file = case
        save_file(kohya({LINEAR: (pairs[LINEAR][0][:, :-1].contiguous(), pairs[LINEAR][1])}), file)
        with pytest.raises(ValueError, match='made for another base'):
            load_prior(folder, lora=file)

    def test_file_of_something_else(self, case):
        _, folder, file = case
        save_file({'conv_in.weight': torch.zeros(2, 2)}, file)
        with pytest.raises(ValueError, match=r"expected low-rank pairs .* got \['conv_in\.weight'\]"):
            load_prior(folder, lora=file)

    def test_ranks_of_their_own(self, case):
        pairs, folder, file = case
        metadata = json.dumps({'unet.r': 3, 'unet.lora_alpha': 3, 'unet.rank_pattern': {'conv1': 8}})
        save_file(named(pairs, 'lora_A', 'lora_B'), file, metadata={'lora_adapter_metadata': metadata})
        with pytest.raises(ValueError, match='plain adapters of one rank and alpha'):
            load_prior(folder, lora=file)

    def test_file_that_is_no_safetensors(self, case):
        _, folder, file = case
        file.write_bytes(b'not weights')
        with pytest.raises(ValueError, match='expected a safetensors file'):
            load_prior(folder, lora=file)
