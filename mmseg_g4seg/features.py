"""Dense features for matching a reconstruction to its original (the encoder F of G4Seg's SCA).

Shapes: B images, H W image size, c latent channels, h w latent grid, D feature channels,
h' w' feature grid.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .diffusion.base import DiffusionPrior

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class FeatureExtractor(ABC):
    """Gives an image, or its latents, a feature vector at every location of a grid."""

    space: Literal['image', 'latents']
    """What `__call__` reads: (B, 3, H, W) float32 RGB in [0, 1], or (B, c, h, w) clean latents."""

    @abstractmethod
    def __call__(self, inputs: Tensor) -> Tensor:
        """Returns (B, D, h', w') float32 features, not normalised."""

    def to(self, device: torch.device | str) -> 'FeatureExtractor':
        """Moves the weights to a device, in place."""
        return self


class DenoiserFeatures(FeatureExtractor):
    """The prior's own decoder features: no further weights, and no image need be decoded."""

    space: Literal['image', 'latents'] = 'latents'

    def __init__(self, prior: DiffusionPrior, *, timestep: int = 100, seed: int = 0) -> None:
        """Args:
            prior: whose denoiser to read.
            timestep: how much noise the latents get; little noise gives local features.
            seed: of that noise, one draw for all images.

        Raises:
            ValueError: if the prior has no such timestep.
        """
        prior.check_timestep(timestep)
        self.prior, self.timestep, self.seed = prior, timestep, seed

    def __call__(self, inputs: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn((1, *inputs.shape[1:]), generator=generator).to(inputs)
        noisy = self.prior.add_noise(inputs, noise.expand_as(inputs), self.timestep)
        prompt = self.prior.encode_prompts([['image']], 'a photo of an {name}')
        return self.prior.denoiser_features(noisy, self.timestep, prompt[[0] * len(inputs)])


class OpenClipFeatures(FeatureExtractor):
    """Patch tokens of an open_clip vision transformer."""

    space: Literal['image', 'latents'] = 'image'

    def __init__(self, model: Any, *, image_size: int | None = None) -> None:
        """Args:
        model: an `open_clip` model whose `visual` is a vision transformer.
        image_size: side that images are resized to; the model's own when not given.
        """
        self.visual = model.visual.eval().requires_grad_(False)
        if not hasattr(self.visual, 'forward_intermediates'):
            raise ValueError(f'expected an open_clip vision transformer, got {type(self.visual).__name__}')
        own_size = self.visual.image_size
        self.image_size = image_size or (own_size if isinstance(own_size, int) else own_size[0])
        mean = getattr(self.visual, 'image_mean', None) or CLIP_MEAN
        std = getattr(self.visual, 'image_std', None) or CLIP_STD
        self.mean, self.std = mean, std

    @classmethod
    def from_pretrained(cls, model: str = 'ViT-B-16', pretrained: str = 'openai', **options: Any) -> 'OpenClipFeatures':
        """Builds a model by its open_clip name and pretrained tag, or the path of a local weights file."""
        try:
            import open_clip
        except ImportError as error:
            raise ImportError('CLIP features need open_clip: pip install "mmseg_g4seg[diffusion]"') from error
        image_size = options.get('image_size')
        # positions are interpolated by open_clip when the model is built for another size
        sizes = {} if image_size is None else {'force_image_size': image_size}
        return cls(open_clip.create_model(model, pretrained=pretrained, **sizes), **options)

    def to(self, device: torch.device | str) -> 'OpenClipFeatures':
        self.visual.to(device)
        return self

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        pixels = _normalise(inputs, (self.image_size, self.image_size), self.mean, self.std)
        weight = next(self.visual.parameters())
        outputs = self.visual.forward_intermediates(
            pixels.to(weight), indices=1, normalize_intermediates=True, intermediates_only=True, output_fmt='NCHW'
        )
        return outputs['image_intermediates'][-1].float()


class TransformersClipFeatures(FeatureExtractor):
    """Patch tokens of a transformers CLIP vision model."""

    space: Literal['image', 'latents'] = 'image'

    def __init__(self, model: Any, *, image_size: int | None = None) -> None:
        """Args:
        model: a transformers `CLIPVisionModel`.
        image_size: side that images are resized to, a multiple of the patch; the model's own
            when not given.
        """
        self.model = model.eval().requires_grad_(False)
        config = model.config
        self.image_size = image_size or config.image_size
        if self.image_size % config.patch_size:
            raise ValueError(f'image_size: expected a multiple of {config.patch_size}, got {self.image_size}')

    @classmethod
    def from_pretrained(cls, model: str, **options: Any) -> 'TransformersClipFeatures':
        """Loads a `CLIPVisionModel` from a folder or a hub id."""
        try:
            from transformers import CLIPVisionModel
        except ImportError as error:
            raise ImportError('CLIP features need transformers: pip install "mmseg_g4seg[diffusion]"') from error
        return cls(CLIPVisionModel.from_pretrained(model), **options)

    def to(self, device: torch.device | str) -> 'TransformersClipFeatures':
        self.model.to(device)
        return self

    @torch.no_grad()
    def __call__(self, inputs: Tensor) -> Tensor:
        pixels = _normalise(inputs, (self.image_size, self.image_size), CLIP_MEAN, CLIP_STD)
        pixels = pixels.to(self.model.device, self.model.dtype)
        tokens = self.model(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        side = math.isqrt(tokens.shape[1])
        return tokens.transpose(1, 2).unflatten(2, (side, side)).float()  # (B, D, h', w')


def _normalise(images: Tensor, size: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Resizes (B, 3, H, W) images in [0, 1] and normalises their channels."""
    resized = F.interpolate(images, tuple(size), mode='bicubic', align_corners=False, antialias=True)
    shape = (1, 3, 1, 1)
    return (resized.clamp(0, 1) - resized.new_tensor(mean).view(shape)) / resized.new_tensor(std).view(shape)


def build_features(config: dict[str, Any] | str, prior: DiffusionPrior) -> FeatureExtractor:
    """Builds an extractor from a config.

    Args:
        config: `dict(type='denoiser' | 'open_clip' | 'transformers', **options)`, or the type alone.
        prior: read by `denoiser`.

    Raises:
        ValueError: if the type is not known.
    """
    options = {'type': config} if isinstance(config, str) else dict(config)
    kind = options.pop('type', None)
    if kind == 'denoiser':
        return DenoiserFeatures(prior, **options)
    if kind == 'open_clip':
        return OpenClipFeatures.from_pretrained(**options)
    if kind == 'transformers':
        return TransformersClipFeatures.from_pretrained(**options)
    raise ValueError(f"features: expected a type of 'denoiser', 'open_clip' or 'transformers', got {kind!r}")
