"""Patch tokens of CLIP's vision transformer, as open_clip or transformers loads it.

Shapes: B images, H W image size, D feature channels, h' w' patch grid.
"""

import json
import math
import zipfile
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.diffusion.weights.hub import find_variant, refuse_missing_weights
from mmseg_g4seg.registry import register

from .base import FeatureExtractor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class CLIPFeatures(FeatureExtractor):
    """Patch tokens of a frozen vision transformer; a library says how it gives them."""

    reads_pixels = True

    def __init__(self, network: Any, image_size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        """Args:
        network: the `nn.Module` that holds the weights.
        image_size: side that images are resized to.
        mean: of each channel, which the network expects to be taken off.
        std: of each channel, which it expects to be divided by.
        """
        self.network, self.image_size = network.eval().requires_grad_(False), image_size
        self.mean, self.std = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)

    def to(self, device: torch.device | str) -> 'CLIPFeatures':
        self.network.to(device)
        return self

    @torch.no_grad()
    def __call__(self, prior: DiffusionPrior, latents: Tensor, pixels: Tensor | None = None) -> Tensor:
        if pixels is None:
            raise ValueError(f'{type(self).__name__}: expected pixels (B, 3, H, W), got latents alone')
        side = (self.image_size, self.image_size)
        # without antialias a street of 2048 pixels is read at every fourth, and bicubic weights leave [0, 1] at edges
        resized = F.interpolate(pixels, side, mode='bicubic', align_corners=False, antialias=True).clamp(0, 1)
        normalised = (resized - self.mean.to(resized)) / self.std.to(resized)
        return self.patches(normalised.to(next(self.network.parameters()))).float()

    @abstractmethod
    def patches(self, pixels: Tensor) -> Tensor:
        """Patch tokens of resized, normalised images: (B, 3, side, side) -> (B, D, h', w')."""


def load_open_clip(model: str, pretrained: str, *, image_size: int | None = None) -> Any:
    """Loads an open_clip model whose weights fit.

    Args:
        model: its open_clip name.
        pretrained: its tag, or the path of a local weights file.
        image_size: that it is built for, its positions interpolated; its own when not given.

    Raises:
        ImportError: if open_clip is missing.
        ValueError: if the weights were trained with another activation than the model has.
        RuntimeError: if there are no weights, which open_clip would leave random.
    """
    try:
        import open_clip
    except ImportError as error:
        raise ImportError('CLIP needs open_clip: pip install "mmseg_g4seg[clip]"') from error
    check_activation(model, pretrained)
    sizes = {} if image_size is None else {'force_image_size': image_size}
    # a model of a folder or a hub has its own weights: open_clip warns that it ignores the tag, which nobody gave
    return open_clip.create_model(model, None if ':' in model else pretrained, require_pretrained=True, **sizes)


def pixel_statistics(visual: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of each channel that an open_clip image encoder expects."""
    # SigLIP and its like were trained with means of 0.5, not CLIP's
    return getattr(visual, 'image_mean', None) or CLIP_MEAN, getattr(visual, 'image_std', None) or CLIP_STD


def check_activation(model: str, pretrained: str) -> None:
    """Raises ValueError unless a model has the activation that the weights of a tag were trained with.

    OpenAI's CLIP was trained with QuickGELU; open_clip builds `ViT-B-16` with GELU whatever the tag, says so in a
    warning alone, and matches by features that are a little wrong everywhere.

    Args:
        model: open_clip's name of it, such as `ViT-B-16-quickgelu`.
        pretrained: open_clip's tag, such as `openai`; of a weights file what OpenAI's own form, or the
            `open_clip_config.json` beside it, says; where neither does, nothing is checked.
    """
    import open_clip

    config, trained = open_clip.get_model_config(model), _quick_gelu_of(model, pretrained)
    # another weights file, or a model of one's own: nothing is known to check against
    if config is None or trained is None or trained == bool(config.get('quick_gelu', False)):
        return
    named = f'{model}-quickgelu' if trained else model.removesuffix('-quickgelu')
    activation = 'QuickGELU' if trained else 'GELU'
    raise ValueError(
        f'CLIP: the weights {pretrained!r} were trained with {activation}, which open_clip calls the model {named!r}; '
        f'got model={model!r}'
    )


def _quick_gelu_of(model: str, pretrained: str) -> bool | None:
    """Whether weights were trained with QuickGELU; None where nobody says."""
    import open_clip

    tag = open_clip.get_pretrained_cfg(model, pretrained)
    if tag:
        return bool(tag.get('quick_gelu', False))
    path = Path(pretrained)
    if _is_torchscript(path):
        return True
    # a hub's snapshot, whose file was given instead of its folder
    beside = path.parent / 'open_clip_config.json'
    if not (path.is_file() and beside.is_file()):
        return None
    settings = json.loads(beside.read_text())
    return bool(settings.get('model_cfg', settings).get('quick_gelu', False))


def _is_torchscript(path: Path) -> bool:
    """Whether a file is an archive with code beside its weights, the form in which OpenAI alone gives CLIP's."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(Path(name).parts[1:2] == ('code',) for name in archive.namelist())


@register
class OpenCLIPFeatures(CLIPFeatures):
    """Patch tokens of an open_clip vision transformer."""

    def __init__(self, model: Any, *, image_size: int | None = None) -> None:
        """Args:
            model: an `open_clip` model whose `visual` is a vision transformer.
            image_size: side that images are resized to; the model's own when not given.

        Raises:
            ValueError: if `visual` is no vision transformer, or one of images that are not square; if `image_size` is
                no multiple of the patch, or not what the model was built for.
        """
        visual = model.visual
        if not hasattr(visual, 'forward_intermediates'):
            raise ValueError(
                f'expected a vision transformer of open_clip 3.0 or newer, got {type(visual).__name__} of '
                f'{type(visual).__module__}'
            )
        height, width = _pair(visual.image_size)
        # timm keeps it in a layer; of a convolutional network there is none
        patch = max(_pair(getattr(visual, 'patch_size', None) or _timm_patch(visual)))
        side = image_size or height
        if image_size is None and height != width:
            raise ValueError(
                f'image_size: expected a model of square images, got one of {height} x {width}; give a side, for which '
                'open_clip builds it'
            )
        if side % patch:
            raise ValueError(f'image_size: expected a multiple of the patch, {patch}, got {side}')
        if hasattr(visual, 'positional_embedding') and (height, width) != (side, side):
            raise ValueError(
                f'image_size: expected the side that the model was built for, got {side} and a model of {height} x '
                f'{width}; build it with force_image_size={side}'
            )
        super().__init__(visual, side, *pixel_statistics(visual))

    @classmethod
    def from_config(
        cls, model: str = 'ViT-B-16-quickgelu', pretrained: str = 'openai', *, image_size: int | None = None
    ) -> 'OpenCLIPFeatures':
        """Builds a model by its open_clip name and pretrained tag, or the path of a local weights file.

        Raises:
            ImportError: if open_clip is missing.
            ValueError: if the weights were trained with another activation than the model has.
            RuntimeError: if there are no weights, which open_clip would leave random.
        """
        return cls(load_open_clip(model, pretrained, image_size=image_size), image_size=image_size)

    def patches(self, pixels: Tensor) -> Tensor:
        outputs = self.network.forward_intermediates(
            pixels, indices=1, normalize_intermediates=True, intermediates_only=True, output_fmt='NCHW'
        )
        return outputs['image_intermediates'][-1]


@register
class TransformersCLIPFeatures(CLIPFeatures):
    """Patch tokens of a transformers CLIP vision model."""

    def __init__(self, model: Any, *, image_size: int | None = None) -> None:
        """Args:
            model: a transformers `CLIPVisionModel`.
            image_size: side that images are resized to, a multiple of the patch; the model's own
                when not given.

        Raises:
            ValueError: if `image_size` is no multiple of the patch.
        """
        side, patch = image_size or model.config.image_size, model.config.patch_size
        if side % patch:
            raise ValueError(f'image_size: expected a multiple of {patch}, got {side}')
        super().__init__(model, side, CLIP_MEAN, CLIP_STD)

    @classmethod
    def from_config(cls, model: str, *, image_size: int | None = None) -> 'TransformersCLIPFeatures':
        """Loads a `CLIPVisionModel` from a folder or a hub id.

        Raises:
            ValueError: if weights are missing, which transformers leaves random with a warning.
        """
        from transformers import CLIPVisionModel

        options: dict[str, Any] = {'variant': find_variant(model), 'output_loading_info': True}
        loaded: Any = CLIPVisionModel.from_pretrained(model, **options)
        network, info = loaded
        refuse_missing_weights(info, f'features {model!r}', network)
        return cls(network, image_size=image_size)

    def patches(self, pixels: Tensor) -> Tensor:
        # the first token is the whole image's, and has no place on the grid
        tokens = self.network(pixel_values=pixels, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
        side = math.isqrt(tokens.shape[1])
        return tokens.transpose(1, 2).unflatten(2, (side, side))


def _pair(size: Any) -> tuple[int, int]:
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _timm_patch(visual: Any) -> Any:
    return getattr(getattr(getattr(visual, 'trunk', None), 'patch_embed', None), 'patch_size', 1)
