"""Architectures at full size: their counts are the published ones, and every family runs."""

import pytest
import torch

from projects.benchmark.build import ARCHITECTURES, build_networks, build_prior, open_prior, read_architecture
from projects.benchmark.paths import total_parameters
from projects.benchmark.tokenizers import clip_tokenizer, t5_tokenizer

NAMES = ['background', 'dining table', 'cat']

DENOISERS = {
    'sd15': 859_520_964,
    'sd21-base': 865_910_724,
    'sd21': 865_910_724,
    'lcm': 859_520_964 + 256 * 320,
    'sdxl': 2_567_463_684,
    'sd3': 2_028_328_000,
    'sd35-medium': 2_243_171_520,
    'flux-schnell': 11_891_178_560,
    'flux-dev': 11_901_408_320,
}
"""Of the released weights; LCM adds the projection of the guidance scale to SD 1.5's."""

TEXT_ENCODERS = {
    'sd15': [123_060_480],
    'sd21-base': [340_387_840],
    'sd21': [340_387_840],
    'lcm': [123_060_480],
    'sdxl': [123_060_480, 694_659_840],
    'sd3': [123_650_304, 694_659_840, 4_762_310_656],
    'sd35-medium': [123_650_304, 694_659_840, 4_762_310_656],
    'flux-schnell': [123_060_480, 4_762_310_656],
    'flux-dev': [123_060_480, 4_762_310_656],
}


def test_every_architecture_has_a_published_count():
    assert set(ARCHITECTURES) == {*DENOISERS, 'small'}


@pytest.mark.parametrize('name', DENOISERS)
def test_published_parameter_counts(name):
    networks = build_networks(name, 'meta', torch.bfloat16)
    denoiser = networks['unet'] if 'unet' in networks else networks['transformer']
    assert total_parameters([denoiser]) == DENOISERS[name]
    texts = [total_parameters([network]) for part, network in networks.items() if part.startswith('text_encoder')]
    assert texts == TEXT_ENCODERS[name]
    assert total_parameters([networks['vae']]) in (83_653_863, 83_819_683)
    for network in networks.values():
        tensors = [*network.parameters(), *network.buffers()]
        assert {tensor.device.type for tensor in tensors} == {'meta'}
        assert {tensor.dtype for tensor in tensors if tensor.is_floating_point()} == {torch.bfloat16}


def test_what_is_set_while_building_is_taken_back():
    build_networks('small', 'meta', torch.bfloat16)
    assert torch.get_default_dtype() == torch.float32
    assert torch.zeros(1).device.type == 'cpu'


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_small_prior_runs(dtype):
    prior = build_prior('small', device='cpu', dtype=dtype, class_names=NAMES)
    prompts = prior.encode_prompts([['dining table'], ['anything else']], 'a photo of {name}')
    assert prompts.embeds.shape == (2, 77, 256)
    assert prompts.token_masks.any(-1).all()
    latents = prior.encode_images(torch.rand(2, 3, 64, 64))
    assert latents.shape == (2, 4, 8, 8)
    assert torch.isfinite(prior.denoise(latents, 400, prompts)).all()


def shrink(architecture):
    """A transformer's architecture with one or two layers a network, every width kept to what tests can run."""
    clip = {'vocab_size': 2000, 'hidden_size': 32, 'intermediate_size': 64, 'num_attention_heads': 2}
    t5 = {'vocab_size': 2000, 'd_model': 64, 'd_ff': 64, 'd_kv': 16, 'num_heads': 2, 'num_layers': 1}
    transformer = {'num_layers': 2, 'num_attention_heads': 2, 'attention_head_dim': 16, 'joint_attention_dim': 64}
    own = {'num_single_layers': 2, 'axes_dims_rope': [4, 4, 8], 'pooled_projection_dim': 32}
    if 'text_encoder_3' in architecture:
        own = {'caption_projection_dim': 32, 'pooled_projection_dim': 64}
    small = {'block_out_channels': [32, 32, 32, 32], 'layers_per_block': 1}
    changes = {'vae': small, 'transformer': {**transformer, **own}}
    for part, config in architecture.items():
        if part.startswith('text_encoder'):
            changes[part] = t5 if 'd_model' in config else {**clip, 'num_hidden_layers': 2, 'projection_dim': 32}
    return {
        part: {**config, **changes.get(part, {})} if isinstance(config, dict) else config
        for part, config in architecture.items()
    }


@pytest.mark.parametrize('name', ['sd3', 'flux-schnell', 'flux-dev'])
def test_transformers_run(name, monkeypatch):
    """The parts fit together as the family joins them, in bfloat16 from the start."""
    import projects.benchmark.build as build

    architecture = shrink(read_architecture(name))
    monkeypatch.setattr(build, 'read_architecture', lambda _: architecture)
    prior = build_prior(name, device='cpu', dtype='bfloat16', class_names=NAMES)
    assert {weight.dtype for network in prior.networks for weight in network.parameters()} == {torch.bfloat16}
    prompts = prior.encode_prompts([['cat']], 'a photo of {name}')
    latents = prior.encode_images(torch.rand(1, 3, 32, 32))
    assert torch.isfinite(prior.denoise(latents, 400, prompts)).all()


def test_latent_consistency_reads_its_schedulers_scaling():
    import diffusers

    scheduler = diffusers.DDIMScheduler.from_config(read_architecture('lcm')['scheduler'])
    assert scheduler.config.get('timestep_scaling') == 10.0
    assert read_architecture('sd21')['scheduler']['prediction_type'] == 'v_prediction'


def test_tokenizers_have_the_real_lengths():
    clip, t5 = clip_tokenizer(NAMES), t5_tokenizer(NAMES)
    assert len(clip('a photo of cat', padding='max_length').input_ids) == 77
    assert len(t5('a photo of cat', padding='max_length').input_ids) == 512
    assert t5('cat', add_special_tokens=False).input_ids == [t5.convert_tokens_to_ids('▁cat')]


def test_unknown_architecture():
    with pytest.raises(ValueError, match=r"expected one of .*'sd15'.*got 'sd16'"):
        read_architecture('sd16')
    with pytest.raises(ValueError, match=r"'sdxl', 'small', .*'tiny'\] or a prior's folder, got 'sd16'"):
        open_prior('sd16', device='cpu', dtype='float32', class_names=NAMES)
