"""Autocast around a refiner or a source is meant for the coarse model; their own weights say what they compute in."""

import pytest
import torch

from mmseg_g4seg.coarse.attention import AttentionSource
from mmseg_g4seg.coarse.daam import DAAM
from mmseg_g4seg.refiners.binary.base import BinaryMaskRefiner
from tests.conftest import IMAGE_SIZE, NAMES, random_case
from tests.refiners.g4seg.making import make


def half():
    return torch.autocast('cpu', torch.bfloat16)


def test_a_refiner_gives_the_same(prior):
    image, coarse = random_case()
    refiner = make(prior)
    refined, reconstructed = refiner.refine(image, coarse, NAMES), refiner.reconstruct(image, coarse, NAMES)
    prior.known_prompts.clear()
    with half():
        assert torch.equal(refiner.refine(image, coarse, NAMES).probs, refined.probs)
        assert torch.equal(refiner.reconstruct(image, coarse, NAMES), reconstructed)


def test_a_source_gives_the_same(prior):
    source: AttentionSource = DAAM(prior, image_size=IMAGE_SIZE)
    image = random_case()[0]
    expected = source.predict(image, ['background', 'sky'])
    with half():
        assert torch.equal(source.predict(image, ['background', 'sky']).probs, expected.probs)


@pytest.mark.parametrize('half_precision', [False, True])
def test_a_refiner_of_binary_masks_computes_in_float32(half_precision):
    found = []

    class Noting(BinaryMaskRefiner):
        def refine_mask(self, image, mask, key):
            found.append((image[0] @ image[0].T).dtype)
            return mask.float()

    image, coarse = random_case()
    with torch.autocast('cpu', torch.bfloat16, enabled=half_precision):
        Noting().refine(image, coarse, NAMES)
    assert set(found) == {torch.float32}
