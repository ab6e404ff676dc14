"""A tiny autoencoder (TAESD and its kin for SDXL, SD 3, FLUX.1) in place of a prior's own: much faster, less exact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .hub import find_variant, folder_or_hub_id, refuse_missing_weights

CLASS_NAME = 'AutoencoderTiny'


def load_tiny_autoencoder(source: str | Path, replaced: Mapping[str, Any], *, dtype: torch.dtype) -> Any:
    """Loads a tiny autoencoder on the CPU.

    Args:
        source: folder that diffusers wrote, or a hub id such as `madebyollin/taesd`.
        replaced: config of the prior's own autoencoder.
        dtype: of the weights.

    Raises:
        FileNotFoundError: if the source is neither local nor reachable.
        ValueError: if it is something else, or its latents are others than the prior's.
        ImportError: if diffusers is missing.
    """
    what = f'autoencoder {str(source)!r}'
    place = folder_or_hub_id(source, 'autoencoder')
    try:
        from diffusers import AutoencoderTiny
    except ImportError as error:
        raise ImportError('loading an autoencoder needs diffusers: pip install diffusers') from error
    try:
        config = AutoencoderTiny.load_config(place)
    except OSError as error:
        raise FileNotFoundError(
            f'{what}: neither a local folder with config.json nor a hub repository that could be reached ({error})'
        ) from error
    if config.get('_class_name') != CLASS_NAME:
        raise ValueError(f'{what}: expected config.json of an {CLASS_NAME}, got {config.get("_class_name")!r}')
    _check_latents(config, replaced, what)
    try:
        tiny, info = AutoencoderTiny.from_pretrained(
            place, torch_dtype=dtype, variant=find_variant(place), output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise FileNotFoundError(f'{what}: its weights could not be loaded: {error}') from error
    refuse_missing_weights(info, what, tiny)
    # diffusers takes 8 for granted, and cuts tiles by it
    tiny.spatial_scale_factor = _stride(config)
    tiny.tile_latent_min_size = tiny.tile_sample_min_size // tiny.spatial_scale_factor
    return tiny


def _check_latents(config: Mapping[str, Any], replaced: Mapping[str, Any], what: str) -> None:
    """Raises ValueError unless both have as many latent channels and pixels a latent cell."""
    pairs = {
        'latent channels': (replaced.get('latent_channels', 4), config.get('latent_channels', 4)),
        'pixels a latent cell': (
            2 ** (len(replaced['block_out_channels']) - 1),
            _stride(config),
        ),
        # latents that are normalised by channel are others than those that a tiny autoencoder was trained on
        'latents_mean': (replaced.get('latents_mean'), config.get('latents_mean')),
    }
    # TAESD and TAESDXL agree in both, though one cannot read the other's latents: that stays the user's to know
    wrong = [f'{name}: expected {wanted}, got {got}' for name, (wanted, got) in pairs.items() if wanted != got]
    if wrong:
        raise ValueError(f'{what}: made for another prior than this? {"; ".join(wrong)}')


def _stride(config: Mapping[str, Any]) -> int:
    return int(2 ** (len(config.get('encoder_block_out_channels', (64, 64, 64, 64))) - 1))
