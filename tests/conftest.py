"""Models of the real architectures, small and with random weights; no download, no GPU."""

import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault('HF_HUB_OFFLINE', '1')

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

from mmseg_g4seg.diffusion.families.stable_diffusion import StableDiffusionPrior
from mmseg_g4seg.diffusion.text.word_tokenizer import build_tokenizer
from mmseg_g4seg.prediction import Prediction
from projects.train_prior.architecture import PriorParts, build_text_encoder

ROOT = Path(__file__).parents[1]
NAMES = ['sky', 'brick wall', 'grass', 'hot air balloon', 'fish']
IMAGE_SIZE = 32


def build_random_parts(prediction_type: str = 'epsilon', **unet_options) -> PriorParts:
    """Stable Diffusion's parts: an autoencoder by 4, a U-Net of three levels with attention in each."""
    torch.manual_seed(0)
    tokenizer = build_tokenizer(NAMES)
    vae = AutoencoderKL(
        down_block_types=['DownEncoderBlock2D'] * 3,
        up_block_types=['UpDecoderBlock2D'] * 3,
        block_out_channels=(8, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        down_block_types=['CrossAttnDownBlock2D'] * 2 + ['DownBlock2D'],
        up_block_types=['UpBlock2D'] + ['CrossAttnUpBlock2D'] * 2,
        cross_attention_dim=32,
        attention_head_dim=(2, 4, 4),
        norm_num_groups=8,
        **unet_options,
    )
    text_encoder = build_text_encoder(tokenizer, width=32)
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule='scaled_linear',
        clip_sample=False,
        prediction_type=prediction_type,
    )
    return PriorParts(vae.eval(), unet.eval(), text_encoder.eval(), tokenizer, scheduler)


def as_prior(parts: PriorParts) -> StableDiffusionPrior:
    return StableDiffusionPrior(
        parts.vae,
        unet=parts.unet,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        scheduler=parts.scheduler,
    )


@pytest.fixture(scope='session', autouse=True)
def quick_configs():
    """Configs are dumped as mmengine writes them, not laid out anew, and mmseg's index is read once: seconds a run."""
    if find_spec('mmengine') is None:
        yield
        return
    import mmengine.fileio

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True))
        patch.setattr('mmengine.config.utils.load', cache(mmengine.fileio.load))
        yield


@pytest.fixture(scope='session')
def parts() -> PriorParts:
    return build_random_parts()


@pytest.fixture(scope='session')
def prior(parts: PriorParts) -> StableDiffusionPrior:
    return as_prior(parts)


@pytest.fixture(scope='session')
def prior_folder(parts: PriorParts, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp('prior')
    parts.save(folder)
    return folder


def random_case(height: int = 24, width: int = 40, classes: int = len(NAMES), seed: int = 0):
    """An image and an uncertain prediction with smooth class regions."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=generator)
    coarse = torch.randn(1, classes, max(2, height // 6), max(2, width // 6), generator=generator)
    logits = torch.nn.functional.interpolate(coarse * 1.5, (height, width), mode='bilinear')[0]
    probs = logits.softmax(0)
    return image, Prediction(probs, probs.argmax(0))
