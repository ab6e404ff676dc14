"""A prior of Stable Diffusion's architecture, small and with random weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior

NAMES = ['sky', 'brick wall', 'grass', 'hot air balloon', 'fish']


@dataclass
class RandomParts:
    """What diffusers' `StableDiffusionPipeline` is built from."""

    vae: Any
    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any

    def save(self, folder: Path) -> None:
        """Writes a folder as diffusers does."""
        from diffusers import StableDiffusionPipeline

        from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
        from mmseg_g4seg.diffusion.text.word_tokenizer import write_vocabulary

        nothing = dict(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
        parts = {name: getattr(self, name) for name in StableDiffusionPrior.parts}
        StableDiffusionPipeline(**parts, **nothing).save_pretrained(folder)
        if not (folder / 'tokenizer' / 'vocab.json').exists():  # transformers 4 has written it
            write_vocabulary(self.tokenizer, folder / 'tokenizer')


def build_random_parts(prediction_type: str = 'epsilon', *, levels: int = 3, **unet_options) -> RandomParts:
    """Stable Diffusion's parts: an autoencoder by 4, a U-Net with attention in each level but the coarsest."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer

    torch.manual_seed(0)
    tokenizer = build_tokenizer(NAMES)
    vae = AutoencoderKL(
        down_block_types=['DownEncoderBlock2D'] * 3,
        up_block_types=['UpDecoderBlock2D'] * 3,
        block_out_channels=(8, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32, 32)[:levels],
        layers_per_block=1,
        down_block_types=['CrossAttnDownBlock2D'] * (levels - 1) + ['DownBlock2D'],
        up_block_types=['UpBlock2D'] + ['CrossAttnUpBlock2D'] * (levels - 1),
        cross_attention_dim=32,
        attention_head_dim=(2, 4, 4)[:levels],
        norm_num_groups=8,
        **unet_options,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule='scaled_linear',
        clip_sample=False,
        prediction_type=prediction_type,
    )
    return RandomParts(vae.eval(), unet.eval(), text_encoder.eval(), tokenizer, scheduler)


def as_prior(parts: RandomParts) -> 'StableDiffusionPrior':
    from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior

    return StableDiffusionPrior(
        parts.vae,
        unet=parts.unet,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=parts.scheduler,
    )
