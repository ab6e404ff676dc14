"""ControlNet (arXiv 2302.05543): a painted layout steers a U-Net through residuals, beside attention or in its place.

The ControlNet's own attention is never modulated: it was trained to read the layout from the image.

Shapes: B images, H W image size, c latent channels, h w latent grid, T text tokens, E text width.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.weights.hub import folder_or_hub_id, refuse_missing_weights

from .attention import MaskInjection

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


def load_controlnet(source: str | Path, *, dtype: torch.dtype, low_cpu_mem_usage: bool = False) -> Any:
    """Loads a ControlNet on the CPU.

    Args:
        source: as `read_controlnet_config`.
        dtype: of the weights.
        low_cpu_mem_usage: as in diffusers; needs accelerate.

    Raises:
        FileNotFoundError: if the weights are missing or cannot be read.
        ValueError: if they lack a layer, which would be random.
    """
    options = {'torch_dtype': dtype, 'low_cpu_mem_usage': low_cpu_mem_usage, 'output_loading_info': True}
    try:
        controlnet, info = _model_class().from_pretrained(folder_or_hub_id(source, 'controlnet'), **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise FileNotFoundError(f'controlnet {str(source)!r}: its weights could not be loaded: {error}') from error
    refuse_missing_weights(info, f'controlnet {str(source)!r}')
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
    pairs['image pixels a latent cell'] = (latent_stride, _stride(own))
    pairs['channels of the control image'] = (3, own['conditioning_channels'])
    wrong = [f'{name}: expected {wanted}, got {got}' for name, (wanted, got) in pairs.items() if wanted != got]
    if wrong:
        raise ValueError(f"{what}: made for another base than this prior's U-Net? {'; '.join(wrong)}")


def control_residuals(
    controlnet: Any, latents: Tensor, timestep: int, embeds: Tensor, injection: MaskInjection | None
) -> dict[str, Any]:
    """Runs a ControlNet on the painted layout of an injection.

    Args:
        controlnet: diffusers `ControlNetModel`; it may be None where no image is injected.
        latents: (B, c, h, w) noisy latents.
        timestep: a training timestep.
        embeds: (B, T, E) encoded prompts.
        injection: on the device and in the dtype of the latents.

    Returns:
        The U-Net's arguments that take the residuals; none where no image is injected, or with a
        scale of 0.

    Raises:
        ValueError: if the image does not have the size that the latents stand for.
    """
    if injection is None or injection.control_image is None or injection.control_scale == 0:
        return {}
    wanted = (len(latents), 3, *(side * _stride(controlnet.config) for side in latents.shape[-2:]))
    if injection.control_image.shape != wanted:
        raise ValueError(f'control_image: expected {wanted}, got {tuple(injection.control_image.shape)}')
    down, middle = controlnet(
        latents,
        timestep,
        embeds,
        controlnet_cond=injection.control_image,
        conditioning_scale=injection.control_scale,
        return_dict=False,
    )
    return {'down_block_additional_residuals': down, 'mid_block_additional_residual': middle}


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


def _stride(config: Mapping[str, Any]) -> int:
    """Image pixels that a ControlNet reads for a latent cell, along each side."""
    return 2 ** (len(config['conditioning_embedding_out_channels']) - 1)


def _each_level(value: Any, levels: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * levels
