"""Feature extractors with random weights, under the names that configs give them."""

from typing import Literal, get_args

import torch

from mmseg_g4seg.diffusion.prior import DiffusionPrior
from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.clip import OpenClipFeatures, TransformersClipFeatures
from mmseg_g4seg.features.denoiser import DenoiserFeatures

FeatureKind = Literal['denoiser', 'open_clip', 'transformers']


def build_random_features(kind: str, prior: DiffusionPrior) -> FeatureExtractor:
    """Builds the prior's own features, or a CLIP ViT-B/16 (float32, as by default) on the prior's device.

    Raises:
        ValueError: if the kind is not known.
        ImportError: if its library is missing.
    """
    if kind == 'denoiser':
        return DenoiserFeatures(prior)
    if kind == 'open_clip':
        return _open_clip(prior.device)
    if kind == 'transformers':
        return _transformers(prior.device)
    raise ValueError(f'features: expected one of {get_args(FeatureKind)}, got {kind!r}')


def _open_clip(device: torch.device) -> FeatureExtractor:
    try:
        import open_clip
    except ImportError as error:
        raise ImportError('CLIP features need open_clip: pip install "mmseg_g4seg[clip]"') from error
    return OpenClipFeatures(open_clip.create_model('ViT-B-16', pretrained=None)).to(device)


def _transformers(device: torch.device) -> FeatureExtractor:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(patch_size=16)  # the other defaults are ViT-B's
    return TransformersClipFeatures(CLIPVisionModel(config)).to(device)
