import pytest
import torch

from mmseg_g4seg import build_refiner
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from tests.conftest import NAMES, random_case


def test_builds_from_a_config(prior_folder):
    config = {'type': 'G4SegRefiner', 'prior': str(prior_folder), 'image_size': [32, 48], 'beta': 0.5, 'seed': 3}
    refiner = build_refiner(config)
    assert isinstance(refiner, G4SegRefiner)
    assert refiner.settings.size == (32, 48)
    assert refiner.settings.beta == 0.5
    image, coarse = random_case()
    assert torch.isfinite(refiner.refine(image, coarse, NAMES).probs).all()


def test_built_refiners_and_none_pass_through(prior):
    refiner = G4SegRefiner(prior)
    assert build_refiner(refiner) is refiner
    assert build_refiner(None) is None


def test_unknown_type_and_parameter(prior_folder):
    with pytest.raises(ValueError, match="got 'Other'"):
        build_refiner({'type': 'Other'})
    with pytest.raises(ValueError, match=r"no parameter \['betta'\]"):
        build_refiner({'type': 'G4SegRefiner', 'prior': str(prior_folder), 'betta': 0.5})


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision(prior_folder, dtype):
    image, coarse = random_case()
    refiner = build_refiner({'type': 'G4SegRefiner', 'prior': str(prior_folder), 'image_size': 32, 'dtype': dtype})
    refined = refiner.refine(image, coarse, NAMES)
    assert refined.probs.dtype == torch.float32
    assert torch.isfinite(refined.probs).all()


@pytest.mark.parametrize('kind', ['PAMRRefiner', 'DenseCRFRefiner', 'SequentialRefiner'])
def test_unknown_options_are_named(kind):
    with pytest.raises(ValueError, match=f'{kind}: .*colour'):
        build_refiner({'type': kind, 'colour': 3})


def test_missing_options_are_named():
    with pytest.raises(ValueError, match=r'SegRefinerRefiner: .*weights'):
        build_refiner({'type': 'SegRefinerRefiner'})
