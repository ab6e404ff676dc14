"""Writes priors in the original layout of CompVis and Stability AI: the inverse of what a single file is read by."""

import re

import torch

from mmseg_g4seg.diffusion.weights.original_names import original_names

VAE_ATTENTION = {'group_norm': 'norm', 'to_q': 'q', 'to_k': 'k', 'to_v': 'v', 'to_out.0': 'proj_out'}
CLIP = {'layer_norm1': 'ln_1', 'layer_norm2': 'ln_2', 'mlp.fc1': 'mlp.c_fc', 'mlp.fc2': 'mlp.c_proj'}


def original(pipeline) -> dict[str, torch.Tensor]:
    """All weights of a pipeline of SD 1, SD 2 or SDXL, as its original file has them."""
    state = _prefixed('model.diffusion_model.', unet(pipeline.unet))
    state |= _prefixed('first_stage_model.', vae(pipeline.vae))
    if hasattr(pipeline, 'text_encoder_2'):
        state |= _prefixed('conditioner.embedders.0.transformer.', clip(pipeline.text_encoder))
        state |= _prefixed('conditioner.embedders.1.model.', open_clip(pipeline.text_encoder_2))
    elif pipeline.unet.config.use_linear_projection:
        state |= _prefixed('cond_stage_model.model.', open_clip(pipeline.text_encoder))
    else:
        state |= _prefixed('cond_stage_model.transformer.', clip(pipeline.text_encoder))
    return {key: value.clone().contiguous() for key, value in state.items()}


def unet(network):
    names = original_names((name for name, _ in network.named_modules()), network.config.layers_per_block)

    def place(key):
        layer, _, leaf = key.rpartition('.')
        return f'{names[layer]}.{leaf}'

    return {place(key): value for key, value in network.state_dict().items()}


def vae(network):
    levels = len(network.config.block_out_channels)

    def place(key):
        key = key.replace('conv_norm_out', 'norm_out').replace('conv_shortcut', 'nin_shortcut')
        key = re.sub(r'mid_block\.resnets\.(\d)', lambda m: f'mid.block_{int(m[1]) + 1}', key)
        key = key.replace('mid_block.attentions.0', 'mid.attn_1')
        key = re.sub(r'down_blocks\.(\d)\.resnets', r'down.\1.block', key)
        key = re.sub(r'down_blocks\.(\d)\.downsamplers\.0', r'down.\1.downsample', key)
        key = re.sub(r'up_blocks\.(\d)\.resnets', lambda m: f'up.{levels - 1 - int(m[1])}.block', key)
        key = re.sub(r'up_blocks\.(\d)\.upsamplers\.0', lambda m: f'up.{levels - 1 - int(m[1])}.upsample', key)
        for new, old in VAE_ATTENTION.items():
            key = key.replace(f'attn_1.{new}.', f'attn_1.{old}.')
        return key

    def shape(key, value):  # its attention was made of convolutions
        return value[:, :, None, None] if 'attn_1' in key and value.ndim == 2 else value

    return {place(key): shape(place(key), value) for key, value in network.state_dict().items()}


def clip(encoder):
    state = {f'text_model.{key.removeprefix("text_model.")}': v for key, v in encoder.state_dict().items()}
    # files of the time have this buffer, too
    positions = torch.arange(encoder.config.max_position_embeddings)[None]
    return {**state, 'text_model.embeddings.position_ids': positions}


def open_clip(encoder):
    state = {key.removeprefix('text_model.'): value for key, value in encoder.state_dict().items()}
    width = encoder.config.hidden_size
    projection = state.pop('text_projection.weight', torch.eye(width))
    new = {
        'positional_embedding': state.pop('embeddings.position_embedding.weight'),
        'token_embedding.weight': state.pop('embeddings.token_embedding.weight'),
        'ln_final.weight': state.pop('final_layer_norm.weight'),
        'ln_final.bias': state.pop('final_layer_norm.bias'),
        'text_projection': projection.T,
        'logit_scale': torch.tensor(1.0),
    }
    for layer in range(encoder.config.num_hidden_layers):
        for leaf in ('weight', 'bias'):
            parts = [state.pop(f'encoder.layers.{layer}.self_attn.{p}_proj.{leaf}') for p in 'qkv']
            new[f'transformer.resblocks.{layer}.attn.in_proj_{leaf}'] = torch.cat(parts)
    for key, value in state.items():
        key = key.replace('encoder.layers', 'transformer.resblocks').replace('self_attn', 'attn')
        for ours, theirs in CLIP.items():
            key = key.replace(ours, theirs)
        new[key] = value
    return new


def _prefixed(prefix, state):
    return {prefix + key: value for key, value in state.items()}
