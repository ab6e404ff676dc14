"""What transformers with joint attention share (SD 3, FLUX.1): flow matching, and injection in one sequence.

Shapes: B images, c latent channels, h w latent grid, h' w' token grid, T text tokens, D token width.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.early_stop import output_inside
from mmseg_g4seg.diffusion.injection.attention_layers import AttentionLayer
from mmseg_g4seg.diffusion.injection.base import AttentionInjector, Injection
from mmseg_g4seg.diffusion.injection.joint_attention import JointAttention
from mmseg_g4seg.diffusion.injection.layouts import JointLayout, RegionLayout
from mmseg_g4seg.diffusion.injection.unet_layers import replaced_processors
from mmseg_g4seg.diffusion.prediction import PredictionType
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.diffusion.text.encoders import stack_padded

from .latent import LatentPrior

Run = Callable[[Tensor, EncodedPrompts, Injection | None], Tensor]
"""Noisy latents (B, c, h, w), prompts of one length and layouts -> one tensor, images first."""


class JointInjectionProcessor(ABC):
    """A diffusers attention processor that attends under a layout; a family says how it projects.

    With weights of 0 it calls the processor that it stands for, so the output is bit-identical.
    """

    def __init__(self, original: Any, attention: JointAttention) -> None:
        self.original, self.attention = original, attention

    @staticmethod
    @abstractmethod
    def project(attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of a layer's call, normalised and rotated: (B, heads, S, d) each."""


class JointTransformerPrior(LatentPrior):
    """Flow matching with a transformer that reads image patches and text tokens as one sequence."""

    prediction_type: PredictionType = 'flow_prediction'
    text_first: ClassVar[bool]
    """Whether the sequence is [text, image] or [image, text]."""
    processor: ClassVar[type[JointInjectionProcessor]]
    """How the family attends under a layout."""

    def __init__(
        self,
        vae: Any,
        *,
        transformer: Any,
        text_encoders: Sequence[Any],
        scheduler: Any,
        patch_size: int,
        reads_guidance: bool = False,
        guidance_scale: float | None = None,
    ) -> None:
        """Args:
            vae: diffusers `AutoencoderKL`.
            transformer: the family's diffusers transformer.
            text_encoders: transformers models.
            scheduler: diffusers `FlowMatchEulerDiscreteScheduler`.
            patch_size: latent cells an image token, along each side.
            reads_guidance: whether the transformer was distilled to read a guidance scale.
            guidance_scale: that scale; the pipeline's own when not given.

        Raises:
            ValueError: if a guidance scale is given to a transformer that reads none.
        """
        super().__init__(
            vae,
            denoiser=transformer,
            text_encoders=text_encoders,
            scheduler=scheduler,
            reads_guidance=reads_guidance,
            guidance_scale=guidance_scale,
        )
        self.transformer, self.patch_size = transformer, patch_size
        self.image_multiple = self.latent_stride * patch_size
        # of a new scheduler: `set_timesteps` overwrites the training schedule of one in use
        self._sigmas = type(scheduler).from_config(scheduler.config).sigmas.flip(0)

    def stack_prompts(self, prompts: Sequence[EncodedPrompts]) -> EncodedPrompts:
        return stack_padded(prompts)

    def sigma(self, timestep: int) -> float:
        """The share of noise at a training timestep, in (0, 1].

        The scheduler's constant shift counts. A shift that depends on the image's size
        (`use_dynamic_shifting`) chooses which levels a sampler visits, and does not.
        """
        self.check_timestep(timestep)
        return float(self._sigmas[timestep])

    def alpha_cumprod(self, timestep: int) -> float:
        return 1 - self.sigma(timestep)

    @abstractmethod
    def velocity(self, latents: Tensor, sigma: float, prompts: EncodedPrompts) -> Tensor:
        """One pass of the transformer on prompts of one length: (B, c, h, w) -> (B, c, h, w)."""

    def denoise(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, injection: Injection | None = None
    ) -> Tensor:
        sigma = self.sigma(timestep)

        def run(latents: Tensor, prompts: EncodedPrompts, injection: Injection | None) -> Tensor:
            # there is no argument that takes a ControlNet's residuals: it would be left out without a word
            if injection is not None and injection.arguments(latents, timestep, prompts.embeds):
                raise ValueError(f'injection: {type(self).__name__} takes rules of attention alone, no further inputs')
            with nullcontext() if injection is None else injection.installed(self):
                velocity = self.velocity(latents, sigma, prompts)
                return self.finite.note('transformer', self.dtype, velocity).float()

        return self._each_length(run, noisy, prompts, injection)

    @torch.no_grad()
    def denoiser_features(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, *, block: int | None = None
    ) -> Tensor:
        """Image tokens behind a block: (B, D, h', w') float32."""
        sigma, module = self.sigma(timestep), self.feature_block(block)
        grid = [side // self.patch_size for side in noisy.shape[-2:]]

        def run(latents: Tensor, prompts: EncodedPrompts, _: Injection | None) -> Tensor:
            with output_inside(module) as outputs:
                self.velocity(latents, sigma, prompts)
            output = outputs[0]
            # text and image tokens apart, or, in an earlier diffusers' single blocks, as one sequence, text first
            tokens = output if isinstance(output, Tensor) else output[1]
            tokens = self.finite.note('transformer', self.dtype, tokens[:, -math.prod(grid) :])
            return tokens.transpose(1, 2).unflatten(2, grid).float()  # (B, D, h', w')

        return self._each_length(run, noisy, prompts, None)

    @property
    def attention_layers(self) -> Sequence[AttentionLayer]:
        return [
            AttentionLayer(
                layer,
                'joint' if self.attends_to_text(layer) else 'self',
                part='transformer',
                block=i,
                level=self.patch_size,
                project=self.processor.project,
                text_first=self.text_first,
            )
            for i, block in enumerate(self.feature_blocks)
            for layer in block.modules()
            if hasattr(layer, 'set_processor')
        ]

    def attends_to_text(self, layer: Any) -> bool:
        """Whether an attention layer sees the whole sequence, or the image alone."""
        return True

    @contextmanager
    def attention_replaced(self, injector: AttentionInjector, layout: RegionLayout) -> Iterator[None]:
        joint = JointLayout(layout, patch_size=self.patch_size, text_first=self.text_first)
        attention = JointAttention(injector, joint)
        with replaced_processors(self.transformer, lambda original: self.processor(original, attention)):
            yield

    def _each_length(self, run: Run, noisy: Tensor, prompts: EncodedPrompts, injection: Injection | None) -> Tensor:
        """Runs the images whose prompts have the same number of tokens together, so that none sees padding."""
        latents = noisy.to(self.device, self.dtype)
        layouts = None if injection is None else injection.to(latents)
        full = prompts.embeds.shape[1]
        lengths = [full] * len(latents) if prompts.lengths is None else prompts.lengths.tolist()
        if set(lengths) == {full}:
            return run(latents, prompts, layouts)
        images = {length: [i for i, own in enumerate(lengths) if own == length] for length in sorted(set(lengths))}
        outputs = []
        for length, index in images.items():
            whole = prompts[index]
            cut = EncodedPrompts(whole.embeds[:, :length], whole.token_masks[..., :length], whole.pooled)
            outputs.append(run(latents[index], cut, None if layouts is None else layouts.take(index, length)))
        # the outputs stand by length of prompt: a caller would mix its images up
        order = torch.tensor([i for index in images.values() for i in index])
        return torch.cat(outputs)[order.argsort().to(latents.device, non_blocking=True)]
