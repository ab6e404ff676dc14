"""diffusers pipelines of every family, tiny and with random weights, as their folders hold them."""

import json
import string
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer
from tests.conftest import NAMES, build_random_parts

WIDTH = 32
T5_LENGTH = 24


def clip_tokenizer(length=48):
    tokenizer = build_tokenizer(NAMES)
    tokenizer.model_max_length = length
    return tokenizer


def clip_encoder(tokenizer, kind=CLIPTextModel):
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=WIDTH,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config).eval()


def t5_tokenizer():
    words = {word for name in NAMES for word in name.split()} | {'a', 'photo', 'of'}
    vocabulary = [('<pad>', 0.0), ('</s>', 0.0), ('<unk>', 0.0)]
    vocabulary += [(f'▁{word}', -3.0) for word in sorted(words)]
    vocabulary += [(letter, -8.0) for letter in '▁,' + string.ascii_letters]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=T5_LENGTH)


def t5_encoder(tokenizer, width=2 * WIDTH):
    config = T5Config(vocab_size=len(tokenizer), d_model=width, d_ff=37, d_kv=8, num_layers=2, num_heads=2)
    return T5EncoderModel(config).eval()


def autoencoder(latent_channels=4, **options):
    return AutoencoderKL(
        down_block_types=['DownEncoderBlock2D'] * 3,
        up_block_types=['UpDecoderBlock2D'] * 3,
        block_out_channels=(8, 8, 8),
        latent_channels=latent_channels,
        norm_num_groups=4,
        **options,
    ).eval()


def build_unet(**options):
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=['DownBlock2D', 'CrossAttnDownBlock2D'],
        up_block_types=['CrossAttnUpBlock2D', 'UpBlock2D'],
        transformer_layers_per_block=2,
        attention_head_dim=(2, 4),
        norm_num_groups=8,
        **options,
    ).eval()


def scheduler(kind=DDIMScheduler, **options):
    return kind(beta_start=0.00085, beta_end=0.012, beta_schedule='scaled_linear', clip_sample=False, **options)


def build_sdxl(**unet_options):
    torch.manual_seed(0)
    tokenizer, second = clip_tokenizer(), clip_tokenizer()
    second.pad_token = '!'  # SDXL's tokenizers differ in this
    unet = build_unet(
        cross_attention_dim=2 * WIDTH,
        addition_embed_type='text_time',
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        use_linear_projection=True,
        **unet_options,
    )
    return StableDiffusionXLPipeline(
        vae=autoencoder(scaling_factor=0.13025),
        unet=unet,
        text_encoder=clip_encoder(tokenizer),
        text_encoder_2=clip_encoder(second, CLIPTextModelWithProjection),
        tokenizer=tokenizer,
        tokenizer_2=second,
        scheduler=scheduler(),
        add_watermarker=False,
    )


def build_lcm():
    parts = build_random_parts(time_cond_proj_dim=16)
    return LatentConsistencyModelPipeline(
        vae=parts.vae,
        unet=parts.unet,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=scheduler(LCMScheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def build_sd3(*, t5=True, **transformer_options):
    """SD 3.5's features by default: dual attention in the first block, normalised queries and keys."""
    torch.manual_seed(0)
    tokenizer, second, third = clip_tokenizer(), clip_tokenizer(), t5_tokenizer()
    second.pad_token = '!'
    options = {'dual_attention_layers': (0,), 'qk_norm': 'rms_norm', **transformer_options}
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=2 * WIDTH,
        caption_projection_dim=WIDTH,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=12,
        **options,
    ).eval()
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(shift_factor=0.0609, scaling_factor=1.5305, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_encoder(tokenizer, CLIPTextModelWithProjection),
        tokenizer=tokenizer,
        text_encoder_2=clip_encoder(second, CLIPTextModelWithProjection),
        tokenizer_2=second,
        text_encoder_3=t5_encoder(third) if t5 else None,
        tokenizer_3=third if t5 else None,
    )


def build_flux(*, guidance_embeds=True):
    torch.manual_seed(0)
    tokenizer, second = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=2 * WIDTH,
        pooled_projection_dim=WIDTH,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 4, 8),
    ).eval()
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=autoencoder(shift_factor=0.1159, scaling_factor=0.3611, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_encoder(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5_encoder(second),
        tokenizer_2=second,
        transformer=transformer,
    )


def build_controlnet(unet, *, trained=True, channels=(8, 12, 16), **options):
    """A ControlNet for a U-Net and an autoencoder by 4; `trained`: its zero convolutions are zero no more."""
    torch.manual_seed(1)
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=channels, **options).eval()
    if trained:
        for name, weight in controlnet.named_parameters():
            if name.startswith(('controlnet_down_blocks', 'controlnet_mid', 'controlnet_cond_embedding.conv_out')):
                torch.nn.init.normal_(weight, std=0.3)
    return controlnet


def save(pipeline, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder


def edit_config(path: Path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
