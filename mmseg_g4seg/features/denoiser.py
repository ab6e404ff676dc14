"""Features of the prior's own denoiser.

Shapes: B images, c latent channels, h w latent grid, D feature channels, h' w' feature grid.
"""

from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.ops.noise import seeded_noise
from mmseg_g4seg.registry import expect_option, register

from .base import FeatureExtractor


@register
class DenoiserFeatures(FeatureExtractor):
    """What a block of the denoiser makes of an image: no further weights, and no image need be decoded.

    Source:
        DIFT, arXiv 2306.03881 (its `up_ft_index` is `block`, its `t` is `timestep`).
    """

    reads_pixels = False

    def __init__(self, *, block: int | None = None, timestep: int = 100, seed: int = 0) -> None:
        """Args:
        block: which of the prior's `feature_blocks`, from 0: a U-Net's decoder levels from coarse to fine, a
            transformer's blocks from input to output. Its `default_feature_block` when not given.
        timestep: how much noise the latents get; little noise gives local features.
        seed: of that noise, one draw for all images.
        """
        self.block = None if block is None else expect_option('block', block, int, 'an integer, or None')
        self.timestep = expect_option('timestep', timestep, int, 'an integer')
        self.seed = expect_option('seed', seed, int, 'an integer')

    def check(self, prior: DiffusionPrior) -> None:
        prior.feature_block(self.block)
        prior.check_timestep(self.timestep)

    def __call__(self, prior: DiffusionPrior, latents: Tensor, pixels: Tensor | None = None) -> Tensor:
        # one draw for original and reconstruction: their features differ by the images, not by the noise
        noise = seeded_noise((1, *latents.shape[1:]), self.seed).to(latents)
        noisy = prior.add_noise(latents, noise.expand_as(latents), self.timestep)
        prompt = prior.encode_prompts([['image']], 'a photo of an {name}')
        return prior.denoiser_features(noisy, self.timestep, prompt[[0] * len(latents)], block=self.block)
