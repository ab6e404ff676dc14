"""The small prior's parts: Stable Diffusion's architecture, narrow enough for two CPU cores."""

import json
import shutil
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer, write_vocabulary

TEXT_WIDTH = 128
TEXT_LENGTH = 48
WIDTHS = (48, 96, 128)
NETWORKS: dict[str, tuple[Any, dict[str, Any]]] = {
    'vae': (AutoencoderKL, {'low_cpu_mem_usage': False}),
    'unet': (UNet2DConditionModel, {'low_cpu_mem_usage': False}),
    'text_encoder': (CLIPTextModel, {}),
}
"""The parts that have weights, each with its class and how it is loaded."""
LARGEST_FILE = '15MB'
"""Weights in half precision are written in shards of at most so much."""
PREFIX = 'text_model.'
"""What transformers 4 calls a text encoder's weights by."""


@dataclass
class PriorParts:
    """What a text-to-image latent diffusion model consists of, as diffusers names it.

    Attributes:
        vae: diffusers `AutoencoderKL`.
        unet: diffusers `UNet2DConditionModel`.
        text_encoder: transformers `CLIPTextModel`.
        tokenizer: transformers `CLIPTokenizer`.
        scheduler: diffusers `DDIMScheduler`.
    """

    vae: Any  # diffusers' classes have no members that a type checker sees
    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any

    def save(self, folder: Path, *, half: bool = False) -> None:
        """Writes a diffusers folder that `load_prior` (and `StableDiffusionPipeline`) reads.

        Args:
            folder: where to; written beside it first, so that it appears whole. One that is there
                is replaced.
            half: store the weights in float16, in shards of `LARGEST_FILE`.
        """
        networks = {name: getattr(self, name) for name in NETWORKS}
        if half:
            networks = {name: deepcopy(network).half() for name, network in networks.items()}
        pipeline: Any = StableDiffusionPipeline(
            **networks,
            tokenizer=self.tokenizer,
            scheduler=self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        partial = folder.with_name(folder.name + '.partial')
        shutil.rmtree(partial, ignore_errors=True)
        # a repository takes no larger files; in float32, for going on, weights stay in one
        pipeline.save_pretrained(partial, **({'max_shard_size': LARGEST_FILE} if half else {}))
        for name in ('vae', 'unet'):
            _forget_origin(partial / name / 'config.json')
        _add_prefix(partial / 'text_encoder' / 'model.safetensors')
        if not (partial / 'tokenizer' / 'vocab.json').exists():  # transformers 4 has written it
            write_vocabulary(self.tokenizer, partial / 'tokenizer')
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> 'PriorParts':
        """Reads a folder that `save` wrote, in float32."""
        loaded: dict[str, Any] = {
            name: network.from_pretrained(folder / name, **options).float()
            for name, (network, options) in NETWORKS.items()
        }
        loaded['tokenizer'] = CLIPTokenizer.from_pretrained(folder / 'tokenizer')
        loaded['scheduler'] = DDIMScheduler.from_pretrained(folder / 'scheduler')
        return cls(**loaded)


def _forget_origin(path: Path) -> None:
    """Takes out of a config the folder that its network was once loaded from."""
    config = json.loads(path.read_text())
    config.pop('_name_or_path', None)
    path.write_text(json.dumps(config, indent=2) + '\n')


def _add_prefix(path: Path) -> None:
    """Names a text encoder's weights as transformers 4 does; both versions load them, 5 without the prefix, too."""
    weights = load_file(path)
    named = {name if name.startswith(PREFIX) else PREFIX + name: weight for name, weight in weights.items()}
    save_file(named, path, metadata={'format': 'pt'})


def build_prior(
    classes: Sequence[str],
    text_length: int = TEXT_LENGTH,
    *,
    widths: Sequence[int] = WIDTHS,
    latent_channels: int = 4,
) -> PriorParts:
    """Builds an untrained prior.

    The autoencoder shrinks images by 4. The U-Net's finest level has cross-attention only: masks
    enter at full latent resolution while self-attention, quadratic in tokens, starts one level down.

    Args:
        classes: names that the tokenizer's merges are learned from.
        text_length: tokens of a prompt.
        widths: channels of the U-Net's levels, multiples of 16.
        latent_channels: channels of the latents.
    """
    levels = len(widths)
    vae = AutoencoderKL(
        down_block_types=['DownEncoderBlock2D'] * 3,
        up_block_types=['UpDecoderBlock2D'] * 3,
        block_out_channels=(32, 64, 64),
        latent_channels=latent_channels,
        layers_per_block=1,
        norm_num_groups=16,
        mid_block_add_attention=False,
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=tuple(widths),
        layers_per_block=1,
        down_block_types=['CrossAttnDownBlock2D'] * levels,
        up_block_types=['CrossAttnUpBlock2D'] * levels,
        only_cross_attention=[True] + [False] * (levels - 1),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=[max(1, width // 32) for width in widths],
        norm_num_groups=16,
    )
    tokenizer = build_tokenizer(classes, text_length)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule='scaled_linear',
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return PriorParts(vae, unet, build_text_encoder(tokenizer), tokenizer, scheduler)


def build_text_encoder(tokenizer: CLIPTokenizer, width: int = TEXT_WIDTH) -> CLIPTextModel:
    """Builds an untrained CLIP text encoder of two layers for a tokenizer."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
