"""FLUX.1: joint attention over [text, image] with rotary positions, T5 tokens and CLIP's pooled vector.

Shapes: B images, P prompts, T text tokens (T5's), N image tokens, S = T + N joint sequence,
c latent channels, h w latent grid; an image token packs 2x2 latent cells.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_g4seg.diffusion.injection.unet_layers import split_heads
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.diffusion.text.encoders import T5PromptTokenizer, join_parts
from mmseg_g4seg.prediction import ClassName
from mmseg_g4seg.registry import register

from .joint_transformer import JointInjectionProcessor, JointTransformerPrior

PATCH_SIZE = 2
SAMPLE_SIZE = 128
"""Side in latent cells that diffusers' pipeline draws by default: the transformer's config does not say."""
T5_LENGTH = 512
T5_LENGTH_SCHNELL = 256
"""Tokens that T5 gives the two releases: the guidance-distilled one (dev) and the one without guidance."""


class FluxInjectionProcessor(JointInjectionProcessor):
    """Stands for diffusers' `FluxAttnProcessor`, in double blocks and in single ones.

    Single blocks hand over text and image already concatenated.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(B, N, channels) and (B, T, channels) -> the same; in single blocks (B, S, channels) -> the same."""
        if self.attention.is_off(has_text=True):
            return self.original(attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)
        query, key, value = self.project(attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb)
        output = self.attention.attend(query, key, value, has_text=True)
        output = output.transpose(1, 2).flatten(2).to(hidden_states.dtype)  # (B, S, channels)
        if encoder_hidden_states is None:
            return output
        text, image = output[:, : encoder_hidden_states.shape[1]], output[:, encoder_hidden_states.shape[1] :]
        return attn.to_out[1](attn.to_out[0](image)), attn.to_add_out(text)

    @staticmethod
    def project(
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        _attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = split_heads(attn.to_q(hidden_states), attn.heads, attn.norm_q)
        key = split_heads(attn.to_k(hidden_states), attn.heads, attn.norm_k)
        value = split_heads(attn.to_v(hidden_states), attn.heads)
        if encoder_hidden_states is not None:
            text_query = split_heads(attn.add_q_proj(encoder_hidden_states), attn.heads, attn.norm_added_q)
            text_key = split_heads(attn.add_k_proj(encoder_hidden_states), attn.heads, attn.norm_added_k)
            text_value = split_heads(attn.add_v_proj(encoder_hidden_states), attn.heads)
            query = torch.cat([text_query, query], dim=2)  # (B, heads, S, d)
            key, value = torch.cat([text_key, key], dim=2), torch.cat([text_value, value], dim=2)
        # before a layout's channels are added: turned with the rest, they would be a bias that depends on distance
        return _rotate(query, image_rotary_emb), _rotate(key, image_rotary_emb), value


def _rotate(tokens: Tensor, rotary: Any) -> Tensor:
    """Turns (B, heads, S, d) queries or keys by their positions: cosines and sines, (S, d) each."""
    if rotary is None:
        return tokens
    from diffusers.models.embeddings import apply_rotary_emb

    rotated: Any = apply_rotary_emb(tokens, rotary)
    return rotated


@register
class FluxPrior(JointTransformerPrior):
    """FLUX.1 [dev], which reads a guidance scale, and [schnell], which does not."""

    pipelines: ClassVar[tuple[str, ...]] = ('FluxPipeline',)
    parts: ClassVar[dict[str, tuple[str, str]]] = {
        'vae': ('diffusers', 'AutoencoderKL'),
        'transformer': ('diffusers', 'FluxTransformer2DModel'),
        'text_encoder': ('transformers', 'CLIPTextModel'),
        'text_encoder_2': ('transformers', 'T5EncoderModel'),
        'tokenizer': ('transformers', 'CLIPTokenizer'),
        'tokenizer_2': ('transformers', 'T5TokenizerFast'),
        'scheduler': ('diffusers', 'FlowMatchEulerDiscreteScheduler'),
    }
    default_guidance: ClassVar[float] = 3.5
    is_guided = False  # [dev] reads a scale, [schnell] was distilled to need none
    latents_per_channel: ClassVar[int] = PATCH_SIZE**2
    text_first: ClassVar[bool] = True
    processor: ClassVar[type[JointInjectionProcessor]] = FluxInjectionProcessor

    def __init__(
        self,
        vae: Any,
        *,
        transformer: Any,
        text_encoder: Any,
        text_encoder_2: Any,
        tokenizer: Any,
        tokenizer_2: Any,
        scheduler: Any,
        guidance_scale: float | None = None,
    ) -> None:
        """Args:
            vae: diffusers `AutoencoderKL`.
            transformer: diffusers `FluxTransformer2DModel`.
            text_encoder: transformers `CLIPTextModel`.
            text_encoder_2: transformers `T5EncoderModel`.
            tokenizer: transformers `CLIPTokenizer`.
            tokenizer_2: transformers `T5TokenizerFast`.
            scheduler: diffusers `FlowMatchEulerDiscreteScheduler`.
            guidance_scale: where the transformer has `guidance_embeds` alone; 3.5 when not given.

        Raises:
            ValueError: if a guidance scale is given to a transformer that reads none.
        """
        super().__init__(
            vae,
            transformer=transformer,
            text_encoders=[text_encoder, text_encoder_2],
            scheduler=scheduler,
            patch_size=PATCH_SIZE,
            reads_guidance=transformer.config.guidance_embeds,
            guidance_scale=guidance_scale,
        )
        self.trained_image_size = SAMPLE_SIZE * self.latent_stride
        self.clip, self.t5 = text_encoder, text_encoder_2
        self.clip_tokenizer, self.t5_tokenizer = tokenizer, tokenizer_2

    def encode_prompt(self, prompt: Sequence[ClassName], template: str) -> EncodedPrompts:
        length = T5_LENGTH if self.transformer.config.guidance_embeds else T5_LENGTH_SCHNELL
        length = min(length, self.t5_tokenizer.model_max_length)
        tokenizer = T5PromptTokenizer(self.t5_tokenizer, template=template, length=length)
        parts = tokenizer.split(prompt)
        tokenised = tokenizer(parts)
        embeds = self.t5(tokenised.input_ids.to(self.device))[0].to(self.dtype)
        pooled = self._pooled([tokenizer.text(part) for part in parts]).to(self.dtype)
        return join_parts(embeds, tokenised.token_masks.to(self.device), parts, pooled)

    def _pooled(self, texts: list[str]) -> Tensor:
        """CLIP's vector of each text; what CLIP cannot read to its end is cut, as in diffusers: (P, E')."""
        padded = self.clip_tokenizer(
            texts,
            padding='max_length',
            truncation=True,
            max_length=self.clip_tokenizer.model_max_length,
            return_tensors='pt',
        )
        return self.clip(padded.input_ids.to(self.device)).pooler_output

    def velocity(self, latents: Tensor, sigma: float, prompts: EncodedPrompts) -> Tensor:
        assert prompts.pooled is not None
        grid = [side // PATCH_SIZE for side in latents.shape[-2:]]
        guidance = None
        if self.guidance_scale is not None:
            guidance = torch.full((len(latents),), self.guidance_scale, device=latents.device)
        packed = F.pixel_unshuffle(latents, PATCH_SIZE).flatten(2).transpose(1, 2)  # (B, N, 4 c)
        output = self.transformer(
            hidden_states=packed,
            encoder_hidden_states=prompts.embeds.to(latents),
            pooled_projections=prompts.pooled.to(latents),
            # the level itself, which FLUX.1 multiplies by 1000: SD 3's 0 to 1000 would be a level of 400
            timestep=torch.full((len(latents),), sigma, device=latents.device),
            guidance=guidance,
            img_ids=_image_positions(grid[0], grid[1]).to(latents, non_blocking=True),
            txt_ids=latents.new_zeros(prompts.embeds.shape[1], 3),
            return_dict=False,
        )[0]
        return F.pixel_shuffle(output.transpose(1, 2).unflatten(2, grid), PATCH_SIZE)  # (B, c, h, w)

    @property
    def feature_blocks(self) -> Sequence[nn.Module]:
        """The double blocks, and behind them the single ones."""
        return [*self.transformer.transformer_blocks, *self.transformer.single_transformer_blocks]

    @property
    def default_feature_block(self) -> int:
        """The last double block, a third of the way."""
        return len(self.transformer.transformer_blocks) - 1


def _image_positions(rows: int, columns: int) -> Tensor:
    """Rotary ids of image tokens: 0, row and column, (rows * columns, 3) float32."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    return torch.stack([torch.zeros_like(row), row, column], dim=-1).flatten(0, 1).float()
