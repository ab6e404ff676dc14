"""What the update asks of features (the encoder F of G4Seg's SCA).

Shapes: B images, H W image size, c latent channels, h w latent grid, D feature channels, h' w' feature grid.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior


class FeatureExtractor(ABC):
    """Gives every location of an image a feature vector, by which a reconstruction is matched to its original."""

    reads_pixels: bool
    """Whether it looks at the images themselves. If not, nobody decodes latents for it."""

    def check(self, prior: DiffusionPrior) -> None:  # noqa: B027  most need nothing of the prior
        """Raises ValueError if a prior lacks what the features are read from; called once, before any work."""

    @abstractmethod
    def __call__(self, prior: DiffusionPrior, latents: Tensor, pixels: Tensor | None = None) -> Tensor:
        """Extracts features.

        Args:
            prior: whose latents they are.
            latents: (B, c, h, w) clean latents.
            pixels: (B, 3, H, W) float32 RGB in [0, 1], the same images. None where `reads_pixels` is False.

        Returns:
            (B, D, h', w') float32 features, not normalised.

        Raises:
            ValueError: if it reads pixels and there are none.
        """

    def to(self, device: torch.device | str) -> 'FeatureExtractor':
        """Moves the weights to a device, in place."""
        return self
