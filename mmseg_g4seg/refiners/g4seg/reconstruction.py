"""How an image is reconstructed under its layout (G4Seg, Eq. 2).

Shapes: N layouts in a pass, c latent channels, h w latent grid.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.inversion import InversionSettings, Sampler, check_inversion, reconstruct
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.registry import expect_option, register

from .encoding import EncodedImage, latents_and_noise
from .layouts import Layout
from .passes import Passes


class Reconstruction(ABC):
    """Generates images anew under their layouts."""

    @abstractmethod
    def check(self, prior: DiffusionPrior) -> None:
        """Raises ValueError if a prior cannot be asked so; called once, before any work."""

    @abstractmethod
    def __call__(self, passes: Passes, images: Sequence[EncodedImage], layouts: Sequence[Layout]) -> Tensor:
        """Generates the image of each of N layouts: (N, c, h, w) clean latents."""


@register
class OneStep(Reconstruction):
    """Noises the image and denoises it at once, the paper's own way (Eq. 2)."""

    def __init__(self, *, timestep: int = 400) -> None:
        """Args:
        timestep: noise level, a training timestep of the prior's scheduler.
        """
        self.timestep = expect_option('timestep', timestep, int, 'an integer')

    def check(self, prior: DiffusionPrior) -> None:
        prior.check_timestep(self.timestep)

    def __call__(self, passes: Passes, images: Sequence[EncodedImage], layouts: Sequence[Layout]) -> Tensor:
        # no timestep in the key: another noise level sees the same draw, so that levels can be compared
        clean, noise = latents_and_noise(images, [layout.image_index for layout in layouts], seed=passes.seed)
        prior, timestep = passes.prior, self.timestep
        noisy = prior.add_noise(clean, noise, timestep)
        output = prior.denoise(noisy, timestep, *passes.condition(layouts, timestep))
        return prior.clean_latents(output, noisy, timestep)


@register
class NullTextInversion(Reconstruction):
    """Inverts the image by a deterministic sampler and generates it anew: the paper's Table IV, tens of passes a class.

    Source:
        Mokady et al., arXiv 2211.09794.
    """

    def __init__(self, *, steps: int = 50, guidance: float = 7.5, inner_steps: int = 10) -> None:
        """Args:
            steps: of the sampler.
            guidance: classifier-free guidance; 1 is none.
            inner_steps: most optimisation steps of the empty prompt at each step.

        Raises:
            ValueError: if a number is out of range.
        """
        self.settings = InversionSettings(steps=steps, guidance_scale=guidance, inner_steps=inner_steps)

    def check(self, prior: DiffusionPrior) -> None:
        check_inversion(prior, self.settings)

    def __call__(self, passes: Passes, images: Sequence[EncodedImage], layouts: Sequence[Layout]) -> Tensor:
        prompts, _ = passes.condition(layouts, 0)
        empty = passes.prior.empty_prompts(len(layouts))
        clean = torch.stack([images[layout.image_index].latents for layout in layouts])
        # what is injected is built anew at each timestep: DenseDiffusion's strength depends on it
        sampler = Sampler(passes.prior, prompts, empty, self.settings)
        return reconstruct(sampler, clean, lambda timestep: passes.condition(layouts, timestep)[1])
