"""What all families share: an autoencoder, frozen networks, prompts that are encoded once.

Shapes: B images, H W image size, c latent channels, h w latent grid, P prompts.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from mmseg_g4seg.diffusion.acceleration import use_channels_last
from mmseg_g4seg.diffusion.finite import FiniteWatch
from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.text.encoded import EncodedPrompts
from mmseg_g4seg.prediction import ClassName

Self = TypeVar('Self', bound='LatentPrior')

MOST_KNOWN_PROMPTS = 256
"""How many prompts are kept: all single classes of most data sets, or the last combinations; 4 MB each at most."""


class LatentPrior(DiffusionPrior):
    """A diffusion model on the latents of an autoencoder, conditioned on text."""

    pipelines: ClassVar[tuple[str, ...]] = ()
    """Pipelines of diffusers, as `model_index.json` names them, whose folders the family reads."""
    parts: ClassVar[dict[str, tuple[str, str]]]
    """Subfolders of a prior, each with the library and class that load it: the constructor's arguments."""
    optional_parts: ClassVar[frozenset[str]] = frozenset()
    """Parts that a prior may lack; None is passed for them."""
    latents_per_channel: ClassVar[int] = 1
    """Latents that the denoiser reads as one token's channel; patches of FLUX.1 are packed so."""
    takes_controlnet: ClassVar[bool] = False
    """Whether ControlNets of the family's U-Net can be read from its hub."""
    known_prompts: dict[tuple[Any, ...], EncodedPrompts]
    """Prompts that were encoded, by template and names."""
    default_guidance: ClassVar[float]
    """Guidance scale of the family's pipeline in diffusers, where the denoiser reads one."""

    def __init__(
        self,
        vae: Any,
        *,
        denoiser: Any,
        text_encoders: Sequence[Any],
        scheduler: Any,
        reads_guidance: bool = False,
        guidance_scale: float | None = None,
    ) -> None:
        """Args:
            vae: diffusers `AutoencoderKL` or `AutoencoderTiny`.
            denoiser: the network that is denoised with.
            text_encoders: transformers models.
            scheduler: a diffusers scheduler with `num_train_timesteps`.
            reads_guidance: whether the denoiser was distilled to read a guidance scale.
            guidance_scale: that scale; the pipeline's own when not given.

        Raises:
            ValueError: if a guidance scale is given to a denoiser that reads none.
        """
        if guidance_scale is not None and not reads_guidance:
            raise ValueError(
                f'guidance_scale: the denoiser of this prior reads none, expected None, got {guidance_scale}'
            )
        taken, given = denoiser.config.in_channels, vae.config.latent_channels * self.latents_per_channel
        if taken != given:
            raise ValueError(
                f'denoiser: expected one of {given} input channels, as the autoencoder gives, got one of {taken}; '
                'inpainting and editing models take more'
            )
        if vae.config.get('force_upcast') and vae.dtype == torch.float16:
            vae = vae.float()  # its own config says that it overflows in float16, as diffusers' pipelines heed
        self.finite = FiniteWatch()
        # null-text inversion differentiates by the prompt: weights with gradients would take their memory twice
        self.networks = [network.eval().requires_grad_(False) for network in (vae, denoiser, *text_encoders)]
        for network in (vae, denoiser):
            use_channels_last(network)
        self.vae, self.denoiser, self.scheduler = vae, denoiser, scheduler
        # asked once: diffusers walks every module for hooks each time, milliseconds that a pass would wait for
        self._dtype, self._vae_dtype = denoiser.dtype, vae.dtype
        self.guidance_scale = self.default_guidance if reads_guidance and guidance_scale is None else guidance_scale
        self.num_train_timesteps = int(scheduler.config.num_train_timesteps)
        self.latent_channels = int(vae.config.latent_channels)
        self.latent_stride = 2 ** (len(vae.config.block_out_channels) - 1)
        sample_size = denoiser.config.get('sample_size')  # FLUX.1's config has none, see there
        if isinstance(sample_size, int):
            self.trained_image_size = sample_size * self.latent_stride
        self.known_prompts = {}

    @property
    def device(self) -> torch.device:
        return next(self.denoiser.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    def to(self: Self, device: torch.device | str) -> Self:
        before = self.device
        if torch.device(device) != before:
            for network in self.networks:
                network.to(device)
        # what is kept is on the old device; `cuda` may have been that, and is not equal to `cuda:0`
        if self.device != before:
            self.known_prompts.clear()
        return self

    @torch.no_grad()
    def encode_prompts(self, prompts: Sequence[Sequence[ClassName]], template: str) -> EncodedPrompts:
        return self.stack_prompts([self._encode_once(tuple(prompt), template) for prompt in prompts])

    def _encode_once(self, prompt: tuple[ClassName, ...], template: str) -> EncodedPrompts:
        key = (template, *(name if isinstance(name, str) else tuple(name) for name in prompt))
        known = self.known_prompts.pop(key, None)
        # back at the end: the first is the one that was not asked for longest
        if known is None:
            known = self.encode_prompt(prompt, template)
            self.finite.note('text encoder', self.dtype, known.embeds)
        self.known_prompts[key] = known
        if len(self.known_prompts) > MOST_KNOWN_PROMPTS:
            del self.known_prompts[next(iter(self.known_prompts))]
        return self.known_prompts[key]

    @abstractmethod
    def encode_prompt(self, prompt: Sequence[ClassName], template: str) -> EncodedPrompts:
        """Encodes one prompt, on the device and in the dtype of the denoiser."""

    @abstractmethod
    def stack_prompts(self, prompts: Sequence[EncodedPrompts]) -> EncodedPrompts:
        """Makes one batch of P prompts, which may differ in length."""

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        self.check_image_size(images.shape[-2:])
        pixels = (images * 2 - 1).to(self.device, self._vae_dtype)
        encoded = self.vae.encode(pixels)
        # a tiny autoencoder has no distribution
        latents = encoded.latents if hasattr(encoded, 'latents') else encoded.latent_dist.mode()
        self.finite.note('autoencoder (encoder)', self._vae_dtype, latents)
        offset, scale = self._normalisation(latents)
        return (latents.float() - offset) * scale

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> Tensor:
        offset, scale = self._normalisation(latents)
        scaled = (latents / scale + offset).to(self.device, self._vae_dtype)
        decoded = self.finite.note('autoencoder (decoder)', self._vae_dtype, self.vae.decode(scaled).sample)
        return ((decoded.float() + 1) / 2).clamp(0, 1)

    def _normalisation(self, latents: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """What is taken off (B, c, h, w) latents, and what they are then multiplied by: numbers, or (c, 1, 1) float32.

        Source:
            `StableDiffusionXLImg2ImgPipeline.prepare_latents` in diffusers.
        """
        config = self.vae.config
        mean, std = getattr(config, 'latents_mean', None), getattr(config, 'latents_std', None)
        if mean is None or std is None:
            return getattr(config, 'shift_factor', None) or 0.0, config.scaling_factor
        offset, deviation = (torch.tensor(v, device=latents.device).view(-1, 1, 1) for v in (mean, std))
        return offset, config.scaling_factor / deviation
