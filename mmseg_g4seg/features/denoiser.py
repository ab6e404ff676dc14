"""Features of the prior's own denoiser.

Shapes: B images, c latent channels, h w latent grid, D feature channels, h' w' feature grid.
"""

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior

from .base import FeatureExtractor


class DenoiserFeatures(FeatureExtractor):
    """What a block of the denoiser makes of an image: no further weights, and no image need be decoded."""

    reads_pixels = False

    def __init__(self, prior: DiffusionPrior, *, block: int | None = None, timestep: int = 100, seed: int = 0) -> None:
        """Args:
            prior: whose denoiser to read.
            block: which of its `feature_blocks`, from 0: a U-Net's decoder levels from coarse to fine, a
                transformer's blocks from input to output. The prior's `default_feature_block` when not given.
            timestep: how much noise the latents get; little noise gives local features.
            seed: of that noise, one draw for all images.

        Raises:
            ValueError: if the prior has no such block or timestep.

        Source:
            DIFT, arXiv 2306.03881 (its `up_ft_index` is `block`, its `t` is `timestep`).
        """
        prior.feature_block(block)
        prior.check_timestep(timestep)
        self.prior, self.block, self.timestep, self.seed = prior, block, timestep, seed

    def __call__(self, latents: Tensor, pixels: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn((1, *latents.shape[1:]), generator=generator).to(latents)
        noisy = self.prior.add_noise(latents, noise.expand_as(latents), self.timestep)
        prompt = self.prior.encode_prompts([['image']], 'a photo of an {name}')
        return self.prior.denoiser_features(noisy, self.timestep, prompt[[0] * len(latents)], block=self.block)
