"""The Stable Diffusion U-Net family: SD 1.x, SD 2.x (epsilon and v-prediction), LCM, and small kin.

Shapes: B images, H W image size, c latent channels, h w latent grid, P prompts, T text tokens.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmseg_g4seg.diffusion.early_stop import output_inside
from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer, unet_attention_layers
from mmseg_g4seg.diffusion.injection.base import AttentionInjector, Injection
from mmseg_g4seg.diffusion.injection.layouts import RegionLayout
from mmseg_g4seg.diffusion.injection.unet_layers import check_processor, unet_attention_replaced
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.diffusion.text.encoders import join_parts, stack_repeated
from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.prediction import ClassName
from mmseg_g4seg.registry import register

from .consistency import boundary_scalings, guidance_embedding
from .latent import LatentPrior


class UNetPrior(LatentPrior):
    """Latent diffusion with a cross-attention U-Net; a family says how it encodes prompts.

    A U-Net with `time_cond_proj_dim` also reads a guidance scale, and under a scheduler with
    `timestep_scaling` (LCM's) predicted latents obey the consistency models' boundary condition.
    """

    default_guidance: ClassVar[float] = 8.5

    def __init__(
        self,
        vae: Any,
        *,
        unet: Any,
        text_encoders: Sequence[Any],
        scheduler: Any,
        guidance_scale: float | None = None,
    ) -> None:
        """Args:
            vae: diffusers `AutoencoderKL`.
            unet: diffusers `UNet2DConditionModel`.
            text_encoders: transformers CLIP text models.
            scheduler: any diffusers scheduler with `alphas_cumprod`.
            guidance_scale: for distilled U-Nets (LCM) alone; 8.5 when not given.

        Raises:
            ValueError: if a guidance scale is given to a U-Net that reads none, or the U-Net has an IP-Adapter.
        """
        for processor in unet.attn_processors.values():
            check_processor(processor)
        super().__init__(
            vae,
            denoiser=unet,
            text_encoders=text_encoders,
            scheduler=scheduler,
            reads_guidance=unet.config.time_cond_proj_dim is not None,
            guidance_scale=guidance_scale,
        )
        self.unet = unet
        self.prediction_type = scheduler.config.prediction_type
        self._alphas_cumprod: list[float] = scheduler.alphas_cumprod.tolist()
        self.image_multiple = self.latent_stride * 2 ** (len(unet.config.block_out_channels) - 1)

    def stack_prompts(self, prompts: Sequence[EncodedPrompts]) -> EncodedPrompts:
        return stack_repeated(prompts)

    def alpha_cumprod(self, timestep: int) -> float:
        self.check_timestep(timestep)
        return self._alphas_cumprod[timestep]

    def denoise(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, injection: Injection | None = None
    ) -> Tensor:
        latents = noisy.to(self.device, self.dtype)
        embeds = prompts.embeds.to(latents)
        # two contexts, so that a plain pass touches no processor at all
        placed = None if injection is None else injection.to(latents)
        with nullcontext() if placed is None else placed.installed(self):
            added = {} if placed is None else placed.arguments(latents, timestep, embeds)
            # noted before the U-Net's output, which they spoil: the first to fail is blamed
            for residual in _residuals(added):
                self.finite.note('ControlNet', self.dtype, residual)
            output = self.unet(
                latents,
                # a bare number would be copied to the device, and the host wait for all that it has queued
                torch.full((1,), timestep, device=latents.device),
                embeds,
                timestep_cond=self._guidance(latents),
                added_cond_kwargs=self.added_conditions(latents, prompts),
                return_dict=False,
                **added,
            )[0]
        return self.finite.note('U-Net', self.dtype, output).float()

    def attention_replaced(self, injector: AttentionInjector, layout: RegionLayout) -> AbstractContextManager[None]:
        return unet_attention_replaced(self.unet, injector, layout)

    @property
    def attention_layers(self) -> Sequence[AttentionLayer]:
        return unet_attention_layers(self.unet)

    def _guidance(self, latents: Tensor) -> Tensor | None:
        """(B, time_cond_proj_dim), or None where the U-Net reads no guidance scale."""
        if self.guidance_scale is None:
            return None
        embedding = guidance_embedding(self.guidance_scale, self.unet.config.time_cond_proj_dim)
        return embedding.to(latents, non_blocking=True).expand(len(latents), -1)

    def added_conditions(self, latents: Tensor, prompts: EncodedPrompts) -> dict[str, Tensor] | None:
        """What the U-Net reads beside timestep and tokens, (B, ...) each; for (B, c, h, w) latents."""
        return None

    def clean_latents(self, output: Tensor, noisy: Tensor, timestep: int) -> Tensor:
        clean = super().clean_latents(output, noisy, timestep)
        scaling = self.scheduler.config.get('timestep_scaling')
        if scaling is None:
            return clean
        skip, out = boundary_scalings(timestep, scaling)
        return out * clean + skip * noisy

    @property
    def feature_blocks(self) -> Sequence[nn.Module]:
        """The decoder's levels, from coarse to fine; the last two are on the latents' own grid."""
        return self.unet.up_blocks

    @property
    def default_feature_block(self) -> int:
        """The last level but one.

        The decoder's middle levels are where DIFT (arXiv 2306.03881) finds semantic matches; this is
        the finest of them.
        """
        return max(0, len(self.unet.up_blocks) - 2)

    @torch.no_grad()
    def denoiser_features(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, *, block: int | None = None
    ) -> Tensor:
        with output_inside(self.feature_block(block)) as outputs:
            self.denoise(noisy, timestep, prompts)
        return self.finite.note('U-Net', self.dtype, outputs[0]).float()


@register
class StableDiffusionPrior(UNetPrior):
    """Latent diffusion with one CLIP text encoder and a cross-attention U-Net."""

    takes_controlnet = True
    pipelines: ClassVar[tuple[str, ...]] = ('LatentConsistencyModelPipeline', 'StableDiffusionPipeline')
    parts: ClassVar[dict[str, tuple[str, str]]] = {
        'vae': ('diffusers', 'AutoencoderKL'),
        'unet': ('diffusers', 'UNet2DConditionModel'),
        'text_encoder': ('transformers', 'CLIPTextModel'),
        'tokenizer': ('transformers', 'CLIPTokenizer'),
        'scheduler': ('diffusers', 'DDIMScheduler'),
    }

    def __init__(
        self,
        vae: Any,
        *,
        unet: Any,
        text_encoder: Any,
        tokenizer: Any,
        scheduler: Any,
        guidance_scale: float | None = None,
    ) -> None:
        """Args:
            vae: diffusers `AutoencoderKL`.
            unet: diffusers `UNet2DConditionModel`.
            text_encoder: transformers `CLIPTextModel`.
            tokenizer: transformers `CLIPTokenizer`.
            scheduler: any diffusers scheduler with `alphas_cumprod`.
            guidance_scale: for distilled U-Nets (LCM) alone; 8.5 when not given.

        Raises:
            ValueError: if a guidance scale is given to a U-Net that reads none.
        """
        super().__init__(
            vae,
            unet=unet,
            text_encoders=[text_encoder],
            scheduler=scheduler,
            guidance_scale=guidance_scale,
        )
        self.text_encoder, self.tokenizer = text_encoder, tokenizer

    def encode_prompt(self, prompt: Sequence[ClassName], template: str) -> EncodedPrompts:
        tokenizer = PromptTokenizer(self.tokenizer, template=template)
        parts = tokenizer.split(prompt)
        tokenised = tokenizer(parts)
        embeds = self.text_encoder(tokenised.input_ids.to(self.device)).last_hidden_state
        return join_parts(embeds.to(self.dtype), tokenised.token_masks.to(self.device), parts)


def _residuals(added: Mapping[str, Any]) -> list[Tensor]:
    """What a ControlNet adds, (B, ...) each; none where there is no ControlNet."""
    down = added.get('down_block_additional_residuals', ())
    return [*down, added['mid_block_additional_residual']] if down else []
