"""A prior whose passes are counted by stage.

Shapes: B images, H W image size, c latent channels, h w latent grid, D feature channels, h' w' feature grid.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from mmseg_g4seg.diffusion.families.latent import LatentPrior
from mmseg_g4seg.diffusion.injection.base import AttentionInjector, Injection
from mmseg_g4seg.diffusion.injection.layouts import RegionLayout
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.prediction import ClassName

from .stages import Stages


class MeteredPrior(DiffusionPrior):
    """Stands in front of another prior: everything is the other's, and four of its calls are counted.

    Attributes:
        known_prompts: the other's own table of prompts that were encoded.
    """

    def __init__(self, prior: LatentPrior, stages: Stages) -> None:
        self.prior, self.stages = prior, stages
        self.prediction_type, self.num_train_timesteps = prior.prediction_type, prior.num_train_timesteps
        self.latent_stride, self.image_multiple = prior.latent_stride, prior.image_multiple
        self.guidance_scale, self.is_guided, self.finite = prior.guidance_scale, prior.is_guided, prior.finite
        self.known_prompts = prior.known_prompts

    @property
    def device(self) -> torch.device:
        return self.prior.device

    @property
    def dtype(self) -> torch.dtype:
        return self.prior.dtype

    def to(self, device: torch.device | str) -> 'MeteredPrior':
        self.prior.to(device)
        return self

    def encode_prompts(self, prompts: Sequence[Sequence[ClassName]], template: str) -> EncodedPrompts:
        with self.stages.stage('text'):
            return self.prior.encode_prompts(prompts, template)

    def empty_prompts(self, count: int) -> EncodedPrompts:
        # the family's: SDXL's are zeros
        with self.stages.stage('text'):
            return self.prior.empty_prompts(count)

    def encode_images(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB -> (B, c, h, w) latents."""
        with self.stages.stage('encode'):
            return self.prior.encode_images(images)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """(B, c, h, w) latents -> (B, 3, H, W) RGB."""
        with self.stages.stage('decode'):
            return self.prior.decode_latents(latents)

    def alpha_cumprod(self, timestep: int) -> float:
        return self.prior.alpha_cumprod(timestep)

    def denoise(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, injection: Injection | None = None
    ) -> Tensor:
        """(B, c, h, w) -> (B, c, h, w)."""
        with self.stages.stage('denoise'):
            return self.prior.denoise(noisy, timestep, prompts, injection)

    def clean_latents(self, output: Tensor, noisy: Tensor, timestep: int) -> Tensor:
        """(B, c, h, w) twice -> (B, c, h, w)."""
        # the family's, not the base class's: LCM has a boundary condition
        return self.prior.clean_latents(output, noisy, timestep)

    def attention_replaced(self, injector: AttentionInjector, layout: RegionLayout) -> AbstractContextManager[None]:
        return self.prior.attention_replaced(injector, layout)

    @property
    def feature_blocks(self) -> Sequence[nn.Module]:
        return self.prior.feature_blocks

    @property
    def default_feature_block(self) -> int:
        return self.prior.default_feature_block

    def denoiser_features(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, *, block: int | None = None
    ) -> Tensor:
        """(B, c, h, w) -> (B, D, h', w')."""
        return self.prior.denoiser_features(noisy, timestep, prompts, block=block)
