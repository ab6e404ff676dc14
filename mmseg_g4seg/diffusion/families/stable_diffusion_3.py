"""Stable Diffusion 3 and 3.5: joint attention over [image, text], two CLIP text encoders and T5.

Shapes: B images, P prompts, T text tokens (CLIP's, then T5's), E text width, N image tokens,
S = N + T joint sequence, c latent channels, h w latent grid.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_g4seg.diffusion.injection.unet_layers import split_heads
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.diffusion.text.encoders import T5PromptTokenizer, encode_clip_pair, join_parts
from mmseg_g4seg.diffusion.text.prompts import PromptTokenizer
from mmseg_g4seg.prediction import ClassName
from mmseg_g4seg.registry import register

from .joint_transformer import JointInjectionProcessor, JointTransformerPrior

T5_LENGTH = 256
"""Tokens that diffusers' pipeline gives T5."""


class SD3InjectionProcessor(JointInjectionProcessor):
    """Stands for diffusers' `JointAttnProcessor2_0`, in joint and in image-only layers (`attn2` of 3.5)."""

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **kwargs: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        """(B, N, channels), and (B, T, channels) in joint layers -> the same."""
        has_text = encoder_hidden_states is not None
        if self.attention.is_off(has_text=has_text):
            return self.original(attn, hidden_states, encoder_hidden_states, **kwargs)
        query, key, value = self.project(attn, hidden_states, encoder_hidden_states)
        output = self.attention.attend(query, key, value, has_text=has_text)
        output = output.transpose(1, 2).flatten(2).to(hidden_states.dtype)  # (B, S, channels)
        image, text = output[:, : hidden_states.shape[1]], output[:, hidden_states.shape[1] :]
        image = attn.to_out[1](attn.to_out[0](image))
        if not has_text:
            return image
        return image, text if attn.context_pre_only else attn.to_add_out(text)

    @staticmethod
    def project(
        attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        query = split_heads(attn.to_q(hidden_states), attn.heads, attn.norm_q)
        key = split_heads(attn.to_k(hidden_states), attn.heads, attn.norm_k)
        value = split_heads(attn.to_v(hidden_states), attn.heads)
        if encoder_hidden_states is not None:
            text_query = split_heads(attn.add_q_proj(encoder_hidden_states), attn.heads, attn.norm_added_q)
            text_key = split_heads(attn.add_k_proj(encoder_hidden_states), attn.heads, attn.norm_added_k)
            text_value = split_heads(attn.add_v_proj(encoder_hidden_states), attn.heads)
            query = torch.cat([query, text_query], dim=2)  # (B, heads, S, d)
            key, value = torch.cat([key, text_key], dim=2), torch.cat([value, text_value], dim=2)
        return query, key, value


@register
class StableDiffusion3Prior(JointTransformerPrior):
    """SD 3 (arXiv 2403.03206) and SD 3.5. Without T5, its tokens are zeros, as in diffusers."""

    pipelines: ClassVar[tuple[str, ...]] = ('StableDiffusion3Pipeline',)
    parts: ClassVar[dict[str, tuple[str, str]]] = {
        'vae': ('diffusers', 'AutoencoderKL'),
        'transformer': ('diffusers', 'SD3Transformer2DModel'),
        'text_encoder': ('transformers', 'CLIPTextModelWithProjection'),
        'text_encoder_2': ('transformers', 'CLIPTextModelWithProjection'),
        'text_encoder_3': ('transformers', 'T5EncoderModel'),
        'tokenizer': ('transformers', 'CLIPTokenizer'),
        'tokenizer_2': ('transformers', 'CLIPTokenizer'),
        'tokenizer_3': ('transformers', 'T5TokenizerFast'),
        'scheduler': ('diffusers', 'FlowMatchEulerDiscreteScheduler'),
    }
    optional_parts: ClassVar[frozenset[str]] = frozenset({'text_encoder_3', 'tokenizer_3'})
    text_first: ClassVar[bool] = False
    processor: ClassVar[type[JointInjectionProcessor]] = SD3InjectionProcessor

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
        text_encoder_3: Any = None,
        tokenizer_3: Any = None,
        guidance_scale: float | None = None,
    ) -> None:
        """Args:
            vae: diffusers `AutoencoderKL`.
            transformer: diffusers `SD3Transformer2DModel`.
            text_encoder: transformers `CLIPTextModelWithProjection`.
            text_encoder_2: the same.
            tokenizer: transformers `CLIPTokenizer`.
            tokenizer_2: the same, of the second encoder.
            scheduler: diffusers `FlowMatchEulerDiscreteScheduler`.
            text_encoder_3: transformers `T5EncoderModel`, or None.
            tokenizer_3: transformers `T5TokenizerFast`, or None.
            guidance_scale: None; SD 3 reads none.

        Raises:
            ValueError: if a guidance scale is given, or T5 without its tokenizer.
        """
        if text_encoder_3 is not None and tokenizer_3 is None:
            raise ValueError('tokenizer_3: expected the tokenizer of text_encoder_3, got None')
        self.encoders, self.tokenizers = (text_encoder, text_encoder_2), (tokenizer, tokenizer_2)
        self.t5, self.t5_tokenizer = text_encoder_3, tokenizer_3
        super().__init__(
            vae,
            transformer=transformer,
            text_encoders=[*self.encoders, *([] if self.t5 is None else [self.t5])],
            scheduler=scheduler,
            patch_size=transformer.config.patch_size,
            guidance_scale=guidance_scale,
        )

    def check_image_size(self, size: Sequence[int]) -> None:
        """Raises ValueError unless both sides are multiples of `image_multiple` within the positions learned."""
        super().check_image_size(size)
        largest = self.transformer.config.pos_embed_max_size * self.image_multiple
        if max(size) > largest:
            raise ValueError(f'image_size: this prior takes sides of at most {largest}, got {tuple(size)}')

    def encode_prompt(self, prompt: Sequence[ClassName], template: str) -> EncodedPrompts:
        parts = PromptTokenizer(self.tokenizers[0], template=template).split(prompt)
        t5_prompts = self._t5_prompts(template)
        if t5_prompts is not None:  # a part fits into every encoder
            parts = [part for fitting_clip in parts for part in t5_prompts.split(fitting_clip)]
        clip, pooled, clip_masks = encode_clip_pair(self.encoders, self.tokenizers, parts, template)
        t5, t5_masks = self._encode_t5(parts, t5_prompts)
        # CLIP's tokens are narrower than T5's (2048 and 4096 in SD 3): zeros fill them up, as in diffusers
        clip = F.pad(clip, (0, t5.shape[-1] - clip.shape[-1]))
        embeds = torch.cat([clip.to(self.dtype), t5.to(self.dtype)], dim=1)  # (parts, T, E)
        masks = torch.cat([clip_masks, t5_masks], dim=-1).to(self.device)
        return join_parts(embeds, masks, parts, torch.cat(pooled, dim=-1).to(self.dtype))

    def _t5_prompts(self, template: str) -> T5PromptTokenizer | None:
        if self.t5 is None:
            return None
        length = min(T5_LENGTH, self.t5_tokenizer.model_max_length)
        return T5PromptTokenizer(self.t5_tokenizer, template=template, length=length)

    def _encode_t5(
        self, parts: Sequence[Sequence[ClassName]], tokenizer: T5PromptTokenizer | None
    ) -> tuple[Tensor, Tensor]:
        """(parts, T5 tokens, E) embeddings and (parts, R, T5 tokens) token masks; zeros without T5."""
        if tokenizer is None:
            width = self.transformer.config.joint_attention_dim
            names = max(map(len, parts))
            empty = torch.zeros(len(parts), T5_LENGTH, width, device=self.device, dtype=self.dtype)
            return empty, torch.zeros(len(parts), names, T5_LENGTH)
        tokenised = tokenizer(parts)
        return self.t5(tokenised.input_ids.to(self.device))[0], tokenised.token_masks

    def velocity(self, latents: Tensor, sigma: float, prompts: EncodedPrompts) -> Tensor:
        assert prompts.pooled is not None
        return self.transformer(
            hidden_states=latents,
            encoder_hidden_states=prompts.embeds.to(latents),
            pooled_projections=prompts.pooled.to(latents),
            # the level with the schedule's shift, not the index: under shift 3, timestep 400 is read as 667
            timestep=torch.full((len(latents),), sigma * self.num_train_timesteps, device=latents.device),
            return_dict=False,
        )[0]

    def attends_to_text(self, layer: Any) -> bool:
        return layer.added_kv_proj_dim is not None  # the second layer of 3.5's first blocks sees the image alone

    @property
    def feature_blocks(self) -> Sequence[nn.Module]:
        """All of its blocks."""
        return self.transformer.transformer_blocks

    @property
    def default_feature_block(self) -> int:
        """The one in the middle."""
        return len(self.transformer.transformer_blocks) // 2
