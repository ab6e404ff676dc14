"""What Stable Diffusion's own code calls the layers of a U-Net; diffusers numbers them otherwise.

LoRA files for SDXL have these names, such as `lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q`.

Source:
    openaimodel.py of github.com/Stability-AI/generative-models.
"""

import re
from collections.abc import Iterable

STEM = {
    'conv_in': 'input_blocks.0.0',
    'time_embedding.linear_1': 'time_embed.0',
    'time_embedding.linear_2': 'time_embed.2',
    'add_embedding.linear_1': 'label_emb.0.0',
    'add_embedding.linear_2': 'label_emb.0.2',
    'conv_norm_out': 'out.0',
    'conv_out': 'out.2',
}
IN_RESNETS = {
    'norm1': 'in_layers.0',
    'conv1': 'in_layers.2',
    'time_emb_proj': 'emb_layers.1',
    'norm2': 'out_layers.0',
    'conv2': 'out_layers.3',
    'conv_shortcut': 'skip_connection',
}
LAYER = re.compile(r'(?:(down|up)_blocks\.(\d+)|mid_block)\.(\w+)\.(\d+)\.(.+)')
"""Way, number of the block, kind of its part, number of that part, and the layer in it."""


def original_names(names: Iterable[str], layers_per_block: int) -> dict[str, str]:
    """Names in diffusers of a U-Net's layers -> original names.

    Args:
        names: of the layers, such as `down_blocks.1.attentions.0.proj_in`; all of them, since a number depends on what
            else there is.
        layers_per_block: of the U-Net's config. A block on the way up has one more.
    """
    found: dict[str, str] = {}
    layers: dict[str, re.Match[str]] = {}
    for name in names:
        if name in STEM:
            found[name] = STEM[name]
        elif match := LAYER.fullmatch(name):
            layers[name] = match
    # on the way up the upsampler stands behind the attention, where the block has any
    attending = {match[2] for match in layers.values() if match[1] == 'up' and match[3] == 'attentions'}
    for name, match in layers.items():
        way, block, kind, number, layer = match.groups()
        sampler, second = kind in ('downsamplers', 'upsamplers'), int(kind != 'resnets')
        if way is None:
            found[name] = f'middle_block.{2 * int(number) + second}'
        else:
            index = int(block) * (layers_per_block + 1) + (layers_per_block if sampler else int(number))
            if way == 'down':
                found[name] = f'input_blocks.{index + 1}.{0 if sampler else second}'
            else:
                found[name] = f'output_blocks.{index}.{1 + (block in attending) if sampler else second}'
        inner = 'op' if kind == 'downsamplers' else IN_RESNETS.get(layer, layer) if kind == 'resnets' else layer
        found[name] += f'.{inner}'
    return found
