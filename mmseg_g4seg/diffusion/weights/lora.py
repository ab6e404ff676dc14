"""Low-rank adapters (LoRA) added to a prior's weights for good, such as LCM-LoRA on Stable Diffusion.

Shapes: O and I outputs and inputs of a layer, r rank of its adapter; convolutions have a kernel
behind these.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .hub import is_hub_id
from .original_names import original_names

FILE_NAME = 'pytorch_lora_weights.safetensors'
"""What diffusers and the LCM-LoRA repositories call the file."""

ENDINGS = (
    ('.lora_down.weight', '.lora_up.weight'),
    ('.lora_A.weight', '.lora_B.weight'),
    ('.lora.down.weight', '.lora.up.weight'),
)
"""How the two factors (r, I) and (O, r) are called: by kohya (LCM-LoRA), PEFT, and older diffusers."""

KOHYA_PREFIXES = {
    'lora_unet_': 'unet',
    'lora_te_': 'text_encoder',
    'lora_te1_': 'text_encoder',
    'lora_te2_': 'text_encoder_2',
}
"""kohya's prefix of a layer -> the part that the layer is in."""

UNSUPPORTED = ('alpha_pattern', 'rank_pattern', 'use_dora', 'use_rslora')
"""Settings of PEFT's that would make `fuse_lora` add something else than was trained."""


def find_lora(source: str | Path) -> Path:
    """Finds the file of a LoRA, downloading it once for a hub id.

    Args:
        source: a `.safetensors` file, a folder with one, or a hub id such as
            `latent-consistency/lcm-lora-sdv1-5`.

    Raises:
        FileNotFoundError: if there is no such file, or more than one.
    """
    path = Path(source).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        files = sorted(path.glob('*.safetensors'))
        if path / FILE_NAME in files or len(files) == 1:
            return path / FILE_NAME if path / FILE_NAME in files else files[0]
        raise FileNotFoundError(f'LoRA {path}: expected {FILE_NAME} or one .safetensors file, got {len(files)}')
    if not is_hub_id(source):
        raise FileNotFoundError(f'LoRA {str(source)!r}: no such file or folder; expected one, or a hub id (owner/name)')
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(source), FILE_NAME))
    except Exception as error:
        raise FileNotFoundError(
            f'LoRA {str(source)!r}: neither local nor a hub repository with {FILE_NAME} that could be reached ({error})'
        ) from error


@torch.no_grad()
def fuse_lora(networks: Mapping[str, Any], path: Path) -> None:
    """Adds a LoRA to the weights of a prior's networks: W + alpha / r * up @ down, in place.

    Args:
        networks: parts by name (`unet`, `transformer`, `text_encoder` ...).
        path: the safetensors file, in kohya's (with the layers' names of diffusers or of Stability AI), PEFT's or
            diffusers' older naming. The factor alpha
            is that of the layer, else that of the file's adapter metadata, else r.

    Raises:
        ValueError: if the file has an entry that is no adapter, or one for a layer that the networks
            lack or that has another shape: it was made for another base.

    Source:
        LoRA, arXiv 2106.09685.
    """
    weights, metadata = _read(path)
    layers = _layers(networks)
    fused: set[str] = set()
    for down, up in ENDINGS:
        for key in [key for key in weights if key.endswith(down)]:
            name = key.removesuffix(down)
            # to skip them, as some loaders do, leaves a prior that is half distilled and says nothing
            if name not in layers or name + up not in weights:
                raise ValueError(f'LoRA {path}: made for another base? Nothing in this prior answers to {key!r}')
            alpha = weights.get(f'{name}.alpha')
            scale = _metadata_scale(metadata, name) if alpha is None else float(alpha) / len(weights[key])
            _add(layers[name], weights[key], weights[name + up], scale, f'LoRA {path}, {name}')
            fused |= {key, name + up, f'{name}.alpha'}
    unknown = sorted(set(weights) - fused)
    if unknown or not fused:
        raise ValueError(f'LoRA {path}: expected low-rank pairs of {ENDINGS}, got {unknown[:3] or "nothing"}')


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a safetensors file, and the adapter's settings that diffusers may have put beside."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework='pt') as file:
            metadata = json.loads((file.metadata() or {}).get('lora_adapter_metadata', '{}'))
            return {key: file.get_tensor(key) for key in file.keys()}, metadata  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f'LoRA {path}: expected a safetensors file: {error}') from error


def _layers(networks: Mapping[str, Any]) -> dict[str, Any]:
    """Layers with a weight by all the names that LoRA files give them."""
    layers: dict[str, Any] = {}
    for part, network in networks.items():
        named = [(n, m) for n, m in network.named_modules() if isinstance(getattr(m, 'weight', None), Tensor)]
        # transformers calls a CLIP layer `text_model.encoder...` or, from 5 on, `encoder...`
        bare = [(name.removeprefix('text_model.'), layer) for name, layer in named]
        owners = ['', 'text_model.'] if part.startswith('text_encoder') else ['']
        for owner in owners:
            layers.update({f'{part}.{owner}{name}': layer for name, layer in bare})
            for prefix in (p for p, own in KOHYA_PREFIXES.items() if own == part):
                layers.update({prefix + f'{owner}{name}'.replace('.', '_'): layer for name, layer in bare})
        if part == 'unet' and isinstance(network.config.layers_per_block, int):
            # kohya's names in files for SDXL
            original = original_names((name for name, _ in named), network.config.layers_per_block)
            layers.update({f'lora_unet_{original[n]}'.replace('.', '_'): m for n, m in named if n in original})
    return layers


def _metadata_scale(metadata: Mapping[str, Any], name: str) -> float:
    """alpha / r of PEFT's settings; 1 without any."""
    part = name.partition('.')[0]
    beyond = [key for key in UNSUPPORTED if metadata.get(f'{part}.{key}')]
    if beyond:
        raise ValueError(f'LoRA: expected plain adapters of one rank and alpha, got {beyond} of {name!r}')
    alpha, rank = (metadata.get(f'{part}.{key}') for key in ('lora_alpha', 'r'))
    return 1.0 if alpha is None or rank is None else float(alpha) / float(rank)


def _add(layer: Any, down: Tensor, up: Tensor, scale: float, what: str) -> None:
    """Adds scale * up @ down to a linear or convolutional layer's weight, computed in float32."""
    change = scale * (up.float().flatten(1) @ down.float().flatten(1))  # (O, I * kernel)
    if change.numel() != layer.weight.numel() or len(up) != len(layer.weight):
        raise ValueError(
            f'{what}: made for another base? Expected a change of {tuple(layer.weight.shape)}, '
            f'got {tuple(up.shape)} times {tuple(down.shape)}'
        )
    layer.weight.copy_((layer.weight.float() + change.view_as(layer.weight)).to(layer.weight.dtype))
