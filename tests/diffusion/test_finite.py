"""What overflows behind a frozen network is an error that names it, never an answer."""

import shutil

import pytest
import torch
from torch import nn

from mmseg_g4seg.diffusion.finite import FiniteWatch
from mmseg_g4seg.diffusion.loading import load_prior
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate, Update
from tests.conftest import IMAGE_SIZE, NAMES, as_prior, build_random_parts, random_case

UPDATES = (LikelihoodUpdate, CorrespondenceUpdate)


class Overflowing(nn.Module):
    """Scales up and down again, which float32 bears and float16 does not."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs) * 1e6 / 1e6


def overflowing_parts(part: str):
    """A prior with one convolution that exceeds 65504 in float16 and is fine in float32."""
    parts = build_random_parts()
    if part == 'U-Net':
        parts.unet.conv_in = Overflowing(parts.unet.conv_in)
    else:
        half = parts.vae.encoder if 'encoder' in part else parts.vae.decoder
        half.conv_in = Overflowing(half.conv_in)
    parts.vae.register_to_config(force_upcast=False)  # as its author says: float16 will do
    return parts


def refiner(parts, dtype: torch.dtype, update: type[Update]) -> G4SegRefiner:
    parts.vae.to(dtype), parts.unet.to(dtype), parts.text_encoder.to(dtype)
    return G4SegRefiner(as_prior(parts), update=update(), image_size=IMAGE_SIZE)


@pytest.mark.parametrize('update', UPDATES)
@pytest.mark.parametrize('part', ['autoencoder (encoder)', 'U-Net'])
def test_the_part_and_its_dtype_are_named(part, update):
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    parts = overflowing_parts(part)
    fine = refiner(parts, torch.float32, update).refine(image, coarse, NAMES)
    assert fine.probs.isfinite().all()
    with pytest.raises(
        FloatingPointError,
        match=rf'the {part} of the prior gave .* in float16; .*bfloat16'.replace('(', r'\(').replace(')', r'\)'),
    ):
        refiner(parts, torch.float16, update).refine(image, coarse, NAMES)


def test_the_decoder_too():
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    with pytest.raises(FloatingPointError, match=r'autoencoder \(decoder\) .* in float16'):
        refiner(overflowing_parts('decoder'), torch.float16, CorrespondenceUpdate).reconstruct(image, coarse, NAMES)


def test_one_image_of_a_batch_spoils_it():
    """An overflow that one picture alone causes is not hidden by the others, nor kept for the next batch."""
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    tested = refiner(build_random_parts(), torch.float32, LikelihoodUpdate)
    own, calls = tested.prior.vae.encode, []

    def encode(pixels):
        calls.append(pixels)
        encoded = own(pixels)
        if len(calls) == 2:
            encoded.latent_dist.mean[..., 0, 0] = torch.inf
        return encoded

    tested.prior.vae.encode = encode
    with pytest.raises(FloatingPointError, match=r'autoencoder \(encoder\).*float32.*expected finite numbers'):
        tested.refine_batch([image] * 3, [coarse] * 3, NAMES)
    assert tested.refine(image, coarse, NAMES).probs.isfinite().all()


@pytest.mark.parametrize('update', UPDATES)
def test_an_autoencoder_that_says_so_runs_in_float32(prior_folder, tmp_path, update):
    """Any family's, as the config's `force_upcast` asks: SD 2.1's overflows on some images, too."""
    # a folder of its own: the prior is changed below, and one of the same folder is shared by all who load it
    loaded = load_prior(shutil.copytree(prior_folder, tmp_path / 'prior'), dtype='float16')
    assert loaded.vae.config.force_upcast
    assert (loaded.vae.dtype, loaded.dtype) == (torch.float32, torch.float16)
    loaded.vae.encoder.conv_in = Overflowing(loaded.vae.encoder.conv_in)
    image, coarse = random_case(IMAGE_SIZE, IMAGE_SIZE)
    assert (
        G4SegRefiner(loaded, update=update(), image_size=IMAGE_SIZE).refine(image, coarse, NAMES).probs.isfinite().all()
    )


def test_the_first_to_fail_is_blamed():
    watch = FiniteWatch()
    watch.note('encoder', torch.float16, torch.ones(2))
    watch.note('U-Net', torch.float16, torch.tensor([torch.inf]))
    watch.note('features', torch.float32, torch.tensor([torch.nan]))
    with pytest.raises(FloatingPointError, match='the U-Net of the prior'):
        watch.check()
    watch.check()  # nothing was noted since
