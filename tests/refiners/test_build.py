import pytest
import torch

from mmseg_g4seg import build_refiner
from mmseg_g4seg.diffusion.injection import MaskInjector
from mmseg_g4seg.refiners.g4seg.refiner import G4SegRefiner
from tests.conftest import NAMES, random_case


def g4seg(prior, **options):
    prior = prior if isinstance(prior, dict) else str(prior)
    return {'type': 'G4SegRefiner', 'prior': prior, 'image_size': 32, **options}


def test_builds_from_a_config(prior_folder):
    config = g4seg(
        prior_folder,
        image_size=[32, 48],
        seed=3,
        injection={'type': 'MaskInjector', 'cross_weight': 2.0},
        update={
            'type': 'CorrespondenceUpdate',
            'beta': 0.5,
            'confidence_range': [0.1, 0.7],
            'reconstruction': {'type': 'OneStep', 'timestep': 300},
            'features': {'type': 'DenoiserFeatures', 'block': 1},
        },
    )
    refiner = build_refiner(config)
    assert isinstance(refiner, G4SegRefiner)
    assert (refiner.image_size, refiner.seed) == ((32, 48), 3)
    assert (refiner.update.beta, refiner.update.confidence_range) == (0.5, (0.1, 0.7))
    assert (refiner.update.reconstruction.timestep, refiner.update.features.block) == (300, 1)
    (injector,) = refiner.injectors
    assert isinstance(injector, MaskInjector)
    assert (injector.cross_weight, injector.self_weight) == (2.0, 0.3)
    image, coarse = random_case()
    assert torch.isfinite(refiner.refine(image, coarse, NAMES).probs).all()


def test_built_refiners_and_none_pass_through(prior):
    refiner = G4SegRefiner(prior)
    assert build_refiner(refiner) is refiner
    assert build_refiner(None) is None


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'type': 'Other'}, "refiner: there is no part 'Other'"),
        ({'type': 'G4SegRefinr'}, "'G4SegRefinr': did you mean 'G4SegRefiner'?"),
        ({'prior': 'tiny'}, 'refiner: there is no part None'),
        ('tiny', r"refiner: expected dict\(type=..., ...\), got 'tiny'"),
        (g4seg('none', sede=1), "refiner: G4SegRefiner has no option 'sede': did you mean 'seed'?"),
        (
            g4seg('none', update={'type': 'LikelihoodUpdate', 'sharpnes': 20}),
            "refiner.update: LikelihoodUpdate has no option 'sharpnes': did you mean 'sharpness'?",
        ),
        (
            g4seg('none', update={'type': 'LikelihoodUpdate', 'sharpnes': 1, 'beta': 2}),
            "no option 'sharpnes': did you mean 'sharpness'",
        ),
        (
            g4seg('none', update={'sharpness': 20}),
            'update: expected a part of .*, got a dict without type',
        ),
        (g4seg('none', injection={'self_weight': 0}), 'injection: expected a part of .*, got a dict without type'),
        (
            g4seg({'source': 'none', 'dtyp': 'x'}, update={'type': 'CorrespondenceUpdate', 'features': {'type': 'X'}}),
            "there is no part 'X'",
        ),
        (
            g4seg('none', update={'type': 'LikelihoodUpdate', 'beta': 0.9}),
            "refiner.update: LikelihoodUpdate has no option 'beta'; CorrespondenceUpdate has it",
        ),
        (
            g4seg('none', injection=[{'type': 'MaskInjector'}, {'type': 'MaskInjector', 'scale': 1}]),
            r"refiner.injection\[1\]: MaskInjector has no option 'scale'; ControlNetInjector has it",
        ),
        (g4seg('none', update={'type': 'DenoiserFeatures'}), 'update: expected a part of .*, got a DenoiserFeatures'),
        (
            g4seg('none', classes={'backgrund': 0}),
            "refiner.classes has no option 'backgrund': did you mean 'background'",
        ),
        ({'type': 'OneStep'}, "refiner: expected one of .*'G4SegRefiner'.*, got a OneStep"),
        ({'type': 'SegRefinerRefiner'}, "SegRefinerRefiner: expected the option 'weights', which is missing"),
        (
            {'type': 'G4SegRefiner', 'prior': {'source': 'tiny', 'dtyp': 'x'}},
            "prior has no option 'dtyp': did you mean",
        ),
    ],
)
def test_wrong_words_are_said_with_their_place_and_the_nearest(config, message):
    """Before any prior is read: the one named here is nowhere."""
    with pytest.raises(ValueError, match=message):
        build_refiner(config)


@pytest.mark.parametrize('kind', ['PAMRRefiner', 'DenseCRFRefiner', 'SequentialRefiner'])
def test_unknown_options_are_named(kind):
    with pytest.raises(ValueError, match=f'{kind} has no option .colour.'):
        build_refiner({'type': kind, 'colour': 3})


@pytest.mark.parametrize('dtype', ['bfloat16', 'float16'])
def test_half_precision(prior_folder, dtype):
    image, coarse = random_case()
    refiner = build_refiner(g4seg({'source': str(prior_folder), 'dtype': dtype}))
    refined = refiner.refine(image, coarse, NAMES)
    assert refined.probs.dtype == torch.float32
    assert torch.isfinite(refined.probs).all()


def test_no_features_where_nothing_is_matched(prior_folder, monkeypatch):
    """The likelihood update asks for none, so that none are built, loaded or moved."""
    from mmseg_g4seg.features.denoiser import DenoiserFeatures

    monkeypatch.setattr(DenoiserFeatures, '__init__', None)
    refiner = build_refiner(g4seg(prior_folder, update={'type': 'LikelihoodUpdate', 'timesteps': [300]}))
    image, coarse = random_case()
    assert torch.isfinite(refiner.refine(image, coarse, NAMES).probs).all()
