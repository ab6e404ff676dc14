"""Feature extractors with random weights, under the names that configs give them."""

from typing import Literal, get_args

import torch

from mmseg_g4seg.features.base import FeatureExtractor
from mmseg_g4seg.features.clip import OpenCLIPFeatures, TransformersCLIPFeatures
from mmseg_g4seg.features.denoiser import DenoiserFeatures

FeatureKind = Literal['denoiser', 'open_clip', 'transformers']


def build_random_features(kind: str, device: torch.device) -> FeatureExtractor:
    """Builds the prior's own features, or a CLIP ViT-B/16 (float32, as by default) on the device.

    Raises:
        ValueError: if the kind is not known.
        ImportError: if its library is missing.
    """
    if kind == 'denoiser':
        return DenoiserFeatures()
    if kind == 'open_clip':
        return _open_clip(device)
    if kind == 'transformers':
        return _transformers(device)
    raise ValueError(f'features: expected one of {get_args(FeatureKind)}, got {kind!r}')


def _open_clip(device: torch.device) -> FeatureExtractor:
    try:
        import open_clip
    except ImportError as error:
        raise ImportError('CLIP features need open_clip: pip install "mmseg_g4seg[clip]"') from error
    return OpenCLIPFeatures(open_clip.create_model('ViT-B-16', pretrained=None)).to(device)


def _transformers(device: torch.device) -> FeatureExtractor:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(patch_size=16)  # the other defaults are ViT-B's
    return TransformersCLIPFeatures(CLIPVisionModel(config)).to(device)
