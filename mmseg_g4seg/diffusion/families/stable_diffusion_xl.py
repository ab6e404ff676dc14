"""Stable Diffusion XL: two CLIP text encoders, a pooled embedding, and the image's size as a condition.

Shapes: B images, P prompts, T text tokens, E1 E2 widths of the text encoders, h w latent grid.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.diffusion.text.encoders import encode_clip_pair, join_parts
from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.prediction import ClassName
from mmseg_g4seg.registry import register

from .stable_diffusion import UNetPrior


@register
class StableDiffusionXLPrior(UNetPrior):
    """SDXL (arXiv 2307.01952), base model, and U-Nets distilled from it (LCM).

    The image is given as uncropped and of its own size, as diffusers' pipeline does by default.
    """

    pipelines: ClassVar[tuple[str, ...]] = ('StableDiffusionXLPipeline',)
    parts: ClassVar[dict[str, tuple[str, str]]] = {
        'vae': ('diffusers', 'AutoencoderKL'),
        'unet': ('diffusers', 'UNet2DConditionModel'),
        'text_encoder': ('transformers', 'CLIPTextModel'),
        'text_encoder_2': ('transformers', 'CLIPTextModelWithProjection'),
        'tokenizer': ('transformers', 'CLIPTokenizer'),
        'tokenizer_2': ('transformers', 'CLIPTokenizer'),
        'scheduler': ('diffusers', 'DDIMScheduler'),
    }

    def __init__(
        self,
        vae: Any,
        *,
        unet: Any,
        text_encoder: Any,
        text_encoder_2: Any,
        tokenizer: Any,
        tokenizer_2: Any,
        scheduler: Any,
        guidance_scale: float | None = None,
    ) -> None:
        """Args:
            vae: diffusers `AutoencoderKL`; one with `force_upcast` overflows in float16 and is kept
                in float32 there.
            unet: diffusers `UNet2DConditionModel` with `addition_embed_type` 'text_time'.
            text_encoder: transformers `CLIPTextModel`.
            text_encoder_2: transformers `CLIPTextModelWithProjection`.
            tokenizer: transformers `CLIPTokenizer`.
            tokenizer_2: the same, of the second encoder.
            scheduler: any diffusers scheduler with `alphas_cumprod`.
            guidance_scale: for distilled U-Nets (LCM) alone; 8.5 when not given.

        Raises:
            ValueError: if a guidance scale is given to a U-Net that reads none.
        """
        self.encoders, self.tokenizers = (text_encoder, text_encoder_2), (tokenizer, tokenizer_2)
        super().__init__(
            vae, unet=unet, text_encoders=self.encoders, scheduler=scheduler, guidance_scale=guidance_scale
        )

    def encode_prompt(self, prompt: Sequence[ClassName], template: str) -> EncodedPrompts:
        parts = PromptTokenizer(self.tokenizers[0], template=template).split(prompt)
        embeds, (_, pooled), token_masks = encode_clip_pair(self.encoders, self.tokenizers, parts, template)
        return join_parts(embeds.to(self.dtype), token_masks.to(self.device), parts, pooled.to(self.dtype))

    def empty_prompts(self, count: int) -> EncodedPrompts:
        """Zeros in place of embeddings and of the pooled vector.

        Source:
            `force_zeros_for_empty_prompt` of `StableDiffusionXLPipeline`, which is on by default.
        """
        # captions were dropped as zeros in training: an encoded '' is a caption, and guidance would lead elsewhere
        encoded = super().empty_prompts(count)
        assert encoded.pooled is not None
        return replace(encoded, embeds=torch.zeros_like(encoded.embeds), pooled=torch.zeros_like(encoded.pooled))

    def added_conditions(self, latents: Tensor, prompts: EncodedPrompts) -> dict[str, Tensor]:
        assert prompts.pooled is not None
        height, width = (side * self.latent_stride for side in latents.shape[-2:])
        # original size, top left corner of the crop, target size
        sizes = [latents.new_full((len(latents), 1), side) for side in (height, width, 0, 0, height, width)]
        return {'text_embeds': prompts.pooled.to(latents), 'time_ids': torch.cat(sizes, dim=1)}
