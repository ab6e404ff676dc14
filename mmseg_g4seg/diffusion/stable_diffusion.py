"""The Stable Diffusion U-Net family: SD 1.x, SD 2.x (epsilon and v-prediction), and small kin.

Shapes: B images, H W image size, c latent channels, h w latent grid, P prompts, T text tokens.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..attention import MaskInjection, inject_masks
from ..prompts import ClassName, PromptTokenizer
from .base import DiffusionPrior, EncodedPrompts

PARTS = {
    'vae': ('diffusers', 'AutoencoderKL'),
    'unet': ('diffusers', 'UNet2DConditionModel'),
    'text_encoder': ('transformers', 'CLIPTextModel'),
    'tokenizer': ('transformers', 'CLIPTokenizer'),
    'scheduler': ('diffusers', 'DDIMScheduler'),
}
"""Subfolders of a prior, each with the class that loads it."""


class StableDiffusionPrior(DiffusionPrior):
    """Latent diffusion with one CLIP text encoder and a cross-attention U-Net."""

    def __init__(self, vae: Any, *, unet: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> None:
        """Args:
        vae: diffusers `AutoencoderKL`.
        unet: diffusers `UNet2DConditionModel`.
        text_encoder: transformers `CLIPTextModel`.
        tokenizer: transformers `CLIPTokenizer`.
        scheduler: any diffusers scheduler with `alphas_cumprod`.
        """
        self.vae, self.unet, self.text_encoder = (m.eval().requires_grad_(False) for m in (vae, unet, text_encoder))
        self.tokenizer, self.scheduler = tokenizer, scheduler
        self.prediction_type = scheduler.config.prediction_type
        self.num_train_timesteps = int(scheduler.config.num_train_timesteps)
        self.latent_stride = 2 ** (len(vae.config.block_out_channels) - 1)
        self.image_multiple = self.latent_stride * 2 ** (len(unet.config.block_out_channels) - 1)
        self._prompt_cache: dict[tuple[Any, ...], EncodedPrompts] = {}

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.unet.dtype

    def to(self, device: torch.device | str) -> 'StableDiffusionPrior':
        if torch.device(device) != self.device:
            for network in (self.vae, self.unet, self.text_encoder):
                network.to(device)
            self._prompt_cache.clear()
        return self

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[Sequence[ClassName]], template: str) -> EncodedPrompts:
        encoded = [self._encode_prompt(tuple(prompt), template) for prompt in prompts]
        # attention over tokens that all stand there n times is attention over them once: no mask needed
        length = math.lcm(*(e.embeds.shape[1] for e in encoded))
        encoded = [e.repeat_tokens(length // e.embeds.shape[1]) for e in encoded]
        regions = max(e.token_masks.shape[1] for e in encoded)
        masks = [F.pad(e.token_masks, (0, 0, 0, regions - e.token_masks.shape[1])) for e in encoded]
        return EncodedPrompts(torch.cat([e.embeds for e in encoded]), torch.cat(masks))

    def _encode_prompt(self, prompt: tuple[ClassName, ...], template: str) -> EncodedPrompts:
        key = (template, *(name if isinstance(name, str) else tuple(name) for name in prompt))
        if key not in self._prompt_cache:
            tokenizer = PromptTokenizer(self.tokenizer, template=template)
            parts = tokenizer.split(prompt)
            tokenised = tokenizer(parts)
            embeds = self.text_encoder(tokenised.input_ids.to(self.device)).last_hidden_state
            own = [masks[: len(part)] for masks, part in zip(tokenised.token_masks, parts, strict=True)]
            token_masks = torch.block_diag(*own)[None]  # (1, R, parts * T)
            self._prompt_cache[key] = EncodedPrompts(
                embeds.flatten(0, 1)[None].to(self.dtype), token_masks.to(self.device, self.dtype)
            )
        return self._prompt_cache[key]

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        self.check_image_size(images.shape[-2:])
        pixels = (images * 2 - 1).to(self.vae.device, self.vae.dtype)
        latents = self.vae.encode(pixels).latent_dist.mode().float()
        shift = getattr(self.vae.config, 'shift_factor', None) or 0.0
        return (latents - shift) * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> Tensor:
        shift = getattr(self.vae.config, 'shift_factor', None) or 0.0
        scaled = (latents / self.vae.config.scaling_factor + shift).to(self.vae.device, self.vae.dtype)
        return ((self.vae.decode(scaled).sample.float() + 1) / 2).clamp(0, 1)

    def alpha_cumprod(self, timestep: int) -> float:
        self.check_timestep(timestep)
        return float(self.scheduler.alphas_cumprod[timestep])

    @torch.no_grad()
    def denoise(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, injection: MaskInjection | None = None
    ) -> Tensor:
        latents = noisy.to(self.device, self.dtype)
        with inject_masks(self.unet, None if injection is None else injection.to(latents)):
            output = self.unet(latents, timestep, prompts.embeds.to(latents), return_dict=False)[0]
        return output.float()

    @torch.no_grad()
    def denoiser_features(self, noisy: Tensor, timestep: int, prompts: EncodedPrompts) -> Tensor:
        """Features after the last but one level of the decoder, on the latents' own grid.

        The decoder's middle levels are where DIFT (arXiv 2306.03881) finds semantic matches; this is
        the finest of them.
        """
        captured: list[Tensor] = []
        block = self.unet.up_blocks[max(0, len(self.unet.up_blocks) - 2)]
        hook = block.register_forward_hook(lambda _module, _args, output: captured.append(output))
        try:
            self.denoise(noisy, timestep, prompts)
        finally:
            hook.remove()
        return captured[0].float()
