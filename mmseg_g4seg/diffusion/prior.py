"""What a refiner asks of a text-to-image diffusion model, whatever its family.

Shapes: B images, H W image size, c latent channels, h w latent grid, P prompts, R names in a prompt,
T text tokens, E text width, D feature channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from mmseg_g4seg.prediction import ClassName

from .finite import FiniteWatch
from .injection.attention_layers import AttentionLayer
from .injection.base import AttentionInjector, Injection
from .injection.layouts import RegionLayout
from .prediction import PredictionType, add_noise, predict_x0
from .text.encoded import EncodedPrompts


class DiffusionPrior(ABC):
    """A frozen diffusion model. Tensors are on `device` and in `dtype` unless said otherwise.

    A family implements the abstract members; the rest follows from them.
    """

    prediction_type: PredictionType
    num_train_timesteps: int
    latent_stride: int
    """Image pixels a latent cell, along each side."""
    latent_channels: int
    """c."""
    scheduler: Any
    """Of diffusers, with the noise levels that it was trained at; nothing changes its state."""
    image_multiple: int
    """Image sides must be multiples of this: the latent stride times the denoiser's halvings."""
    trained_image_size: int = 512
    """Side of the pictures that it was trained on, where its config says so."""
    guidance_scale: float | None = None
    """What a denoiser that was distilled to read a guidance scale is given; None where it reads none."""
    is_guided: bool = True
    """Whether its pipeline draws with classifier-free guidance. Distilled priors are not made for any."""
    finite: FiniteWatch
    """Notes whether what the networks give is finite."""

    @property
    @abstractmethod
    def device(self) -> torch.device: ...

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype: ...

    @abstractmethod
    def to(self, device: torch.device | str) -> 'DiffusionPrior':
        """Moves all networks to a device, in place."""

    @abstractmethod
    def encode_prompts(self, prompts: Sequence[Sequence[ClassName]], template: str) -> EncodedPrompts:
        """Encodes P prompts, each naming the classes listed; embeddings are kept for next time.

        More names than the text encoder reads at once are encoded in several goes, whose tokens
        then stand one after the other.

        Raises:
            ValueError: if a name is empty or does not fit into the text encoder's length alone.
        """

    def empty_prompts(self, count: int) -> EncodedPrompts:
        """What classifier-free guidance leads away from, `count` times: an empty prompt, unless a family says else."""
        return self.encode_prompts([[]] * count, '{name}')

    @abstractmethod
    def encode_images(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float32 RGB in [0, 1] -> (B, c, h, w) float32 scaled latents."""

    @abstractmethod
    def decode_latents(self, latents: Tensor) -> Tensor:
        """(B, c, h, w) scaled latents -> (B, 3, H, W) float32 RGB in [0, 1]."""

    @abstractmethod
    def alpha_cumprod(self, timestep: int) -> float:
        """The scheduler's cumulative alpha at a training timestep; for flow matching 1 - sigma."""

    @abstractmethod
    def denoise(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, injection: Injection | None = None
    ) -> Tensor:
        """One pass of the denoiser: (B, c, h, w) -> (B, c, h, w) float32, as `prediction_type` says.

        Differentiable in latents and embeddings; the weights are frozen.
        """

    @abstractmethod
    def attention_replaced(self, injector: AttentionInjector, layout: RegionLayout) -> AbstractContextManager[None]:
        """Lets an injector attend in every attention layer of the denoiser, and of the denoiser only.

        Args:
            injector: the rule.
            layout: on the device and in the dtype of the latents.
        """

    @property
    def attention_layers(self) -> Sequence[AttentionLayer]:
        """The denoiser's attention layers that can be recorded, in the order of a pass; none unless a family says."""
        return ()

    @property
    @abstractmethod
    def feature_blocks(self) -> Sequence[nn.Module]:
        """The denoiser's blocks that `denoiser_features` can read, in the order of a pass."""

    @property
    @abstractmethod
    def default_feature_block(self) -> int:
        """Index of the block that is read when none is named."""

    @abstractmethod
    def denoiser_features(
        self, noisy: Tensor, timestep: int, prompts: EncodedPrompts, *, block: int | None = None
    ) -> Tensor:
        """Features behind a block, in one pass of the denoiser: (B, c, h, w) -> (B, D, h', w') float32.

        Raises:
            ValueError: if there is no such block.
        """

    def feature_block(self, index: int | None = None) -> nn.Module:
        """The block of that index among `feature_blocks`, or the default one.

        Raises:
            ValueError: if there is no such block.
        """
        blocks = self.feature_blocks
        index = self.default_feature_block if index is None else index
        # -1 would count from the end, and be another block in another prior
        if not 0 <= index < len(blocks):
            raise ValueError(f'block: this denoiser has 0 to {len(blocks) - 1} to read features from, got {index}')
        return blocks[index]

    def add_noise(self, latents: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """Noises (B, c, h, w) clean latents to a training timestep."""
        return add_noise(latents, noise, self.alpha_cumprod(timestep), self.prediction_type)

    def clean_latents(self, output: Tensor, noisy: Tensor, timestep: int) -> Tensor:
        """Clean latents in one step (Eq. 2), from what `denoise` gave for noisy ones: (B, c, h, w) each."""
        return predict_x0(output, noisy, self.alpha_cumprod(timestep), self.prediction_type)

    def check_finite(self) -> None:
        """Looks once at what its networks gave since the last check; call it when a batch is done.

        Raises:
            FloatingPointError: if something was not finite; names the part, its dtype and the remedy.
        """
        self.finite.check()

    def check_image_size(self, size: Sequence[int]) -> None:
        """Raises ValueError unless both sides are positive multiples of `image_multiple`."""
        if any(side <= 0 or side % self.image_multiple for side in size):
            raise ValueError(
                f'image_size: this prior takes positive multiples of {self.image_multiple}, got {tuple(size)}'
            )

    def check_timestep(self, timestep: int) -> None:
        """Raises ValueError unless the scheduler has this training timestep."""
        # -1 would be read from the end of the schedule: pure noise
        if not 0 <= timestep < self.num_train_timesteps:
            raise ValueError(f'timestep: expected 0 to {self.num_train_timesteps - 1}, got {timestep}')
