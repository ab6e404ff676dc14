"""Loads ControlNets in diffusers' layout, and tells which U-Nets they were made for."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .hub import find_variant, folder_or_hub_id, has_accelerate, refuse_missing_weights

CLASS_NAME = 'ControlNetModel'

PER_LEVEL = ('block_out_channels', 'layers_per_block', 'cross_attention_dim')
"""What ControlNet and U-Net must have in common at every level; one number stands for all of them."""

AT_ONCE = ('in_channels', 'addition_embed_type')
"""What they must have in common besides."""


def read_controlnet_config(source: str | Path) -> dict[str, Any]:
    """Reads what a ControlNet was made for, without its weights.

    Args:
        source: folder that diffusers wrote, or a hub id such as `lllyasviel/control_v11p_sd15_seg`.

    Raises:
        FileNotFoundError: if the source is neither local nor reachable.
        ValueError: if it is something else than a ControlNet for U-Nets.
        ImportError: if diffusers is missing.
    """
    place = folder_or_hub_id(source, 'controlnet')
    try:
        config = dict(_model_class().load_config(place))
    # offline, gated and misspelt ids each raise errors of their own: the hub's, its HTTP client's, the system's
    except Exception as error:
        raise FileNotFoundError(
            f'controlnet {str(source)!r}: neither a local folder with config.json nor a hub repository that could '
            f'be reached ({error})'
        ) from error
    if config.get('_class_name') != CLASS_NAME:
        raise ValueError(
            f'controlnet {str(source)!r}: expected config.json of a {CLASS_NAME}, got {config.get("_class_name")!r}'
        )
    return config


def load_controlnet(source: str | Path, *, dtype: torch.dtype) -> Any:
    """Loads a ControlNet on the CPU.

    Args:
        source: as `read_controlnet_config`.
        dtype: of the weights.

    Raises:
        FileNotFoundError: if the weights are missing or cannot be read.
        ValueError: if they lack a layer, which would be random.
    """
    place = folder_or_hub_id(source, 'controlnet')
    options = {'torch_dtype': dtype, 'low_cpu_mem_usage': has_accelerate(), 'variant': find_variant(place)}
    try:
        controlnet, info = _model_class().from_pretrained(place, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise FileNotFoundError(f'controlnet {str(source)!r}: its weights could not be loaded: {error}') from error
    refuse_missing_weights(info, f'controlnet {str(source)!r}', controlnet)
    return controlnet


def check_controlnet(
    config: Mapping[str, Any], unet_config: Mapping[str, Any], *, latent_stride: int, what: str = 'controlnet'
) -> None:
    """Raises ValueError unless a ControlNet was made for U-Nets like this one.

    Two bases of one architecture (SD 2.1 and its 512-pixel base) cannot be told apart.

    Args:
        config: the ControlNet's; what an older file does not say is diffusers' default.
        unet_config: the U-Net's, likewise.
        latent_stride: image pixels a latent cell, along each side.
        what: how messages call the ControlNet.
    """
    defaults = _defaults()
    own, base = {**defaults, **config}, {**defaults, **unet_config}
    levels = len(base['block_out_channels'])
    pairs: dict[str, tuple[Any, Any]] = {
        name: (_each_level(base[name], levels), _each_level(own[name], levels)) for name in PER_LEVEL
    }
    pairs |= {name: (base[name], own[name]) for name in AT_ONCE}
    pairs['image pixels a latent cell'] = (latent_stride, control_stride(own))
    pairs['channels of the control image'] = (3, own['conditioning_channels'])
    wrong = [f'{name}: expected {wanted}, got {got}' for name, (wanted, got) in pairs.items() if wanted != got]
    if wrong:
        raise ValueError(f"{what}: made for another base than this prior's U-Net? {'; '.join(wrong)}")


def _model_class() -> Any:
    try:
        from diffusers import ControlNetModel
    except ImportError as error:
        raise ImportError('loading a ControlNet needs diffusers: pip install diffusers') from error
    return ControlNetModel


def _defaults() -> dict[str, Any]:
    """What diffusers takes where a config leaves something out; U-Nets' are the same."""
    parameters = inspect.signature(_model_class().__init__).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}


def control_stride(config: Mapping[str, Any]) -> int:
    """Image pixels that a ControlNet reads for a latent cell, along each side."""
    return 2 ** (len(config['conditioning_embedding_out_channels']) - 1)


def _each_level(value: Any, levels: int) -> tuple[Any, ...]:
    # one file says 768 where another says [768, 768, 768, 768], and means the same
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * levels
