"""What holds for every combination of parts."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_g4seg.diffusion.injection import DenseDiffusionInjector
from mmseg_g4seg.prediction import ClassList, Prediction
from mmseg_g4seg.refiners.g4seg.race import Race
from mmseg_g4seg.refiners.g4seg.reconstruction import NullTextInversion, OneStep
from mmseg_g4seg.refiners.g4seg.superpixels import Superpixels
from mmseg_g4seg.refiners.g4seg.updates import CorrespondenceUpdate, LikelihoodUpdate
from tests.conftest import NAMES, as_prior, build_random_parts, random_case
from tests.refiners.g4seg.making import make

VARIANTS = {
    'default': {},
    'joint': {'update': CorrespondenceUpdate(joint=True)},
    'dense diffusion': {'injection': DenseDiffusionInjector()},
    'not injected': {'injection': []},
    'likelihood': {'update': LikelihoodUpdate(timesteps=(100, 400))},
    'soft and guided': {'update': CorrespondenceUpdate(temperature=0.1, upsampling='guided')},
    'likelihood, bound': {
        'update': LikelihoodUpdate(
            timesteps=(300,), smoothing=(1, 5), candidate_threshold=0.05, upsampling='guided', bound=0.4
        )
    },
    'likelihood, draws': {'update': LikelihoodUpdate(timesteps=(300,), draws=2)},
    'likelihood, crops': {'update': LikelihoodUpdate(timesteps=(300,), crops=2, upsampling='guided')},
    'likelihood, race': {'update': LikelihoodUpdate(timesteps=Race(timesteps=(300, 100), keep=(2,)), crops=2)},
    'likelihood, superpixels': {
        'update': LikelihoodUpdate(timesteps=Race(timesteps=(300, 100), keep=(2,)), smoothing=Superpixels())
    },
    'likelihood, proportions': {'update': LikelihoodUpdate(timesteps=(300,), proportions=True)},
    'null-text': {'update': CorrespondenceUpdate(reconstruction=NullTextInversion(steps=2, inner_steps=1))},
    'null-text, joint': {
        'update': CorrespondenceUpdate(
            joint=True, reconstruction=NullTextInversion(steps=2, guidance=2.0, inner_steps=2)
        )
    },
    'timestep': {'update': CorrespondenceUpdate(reconstruction=OneStep(timestep=200), beta=0.2)},
}
KNOWN = {'likelihood, proportions': NAMES[1:4]}


@pytest.fixture(scope='module')
def prior():
    """The smallest that has all parts: what holds of every combination is asked of it a thousand times."""
    return as_prior(build_random_parts(levels=2))


@pytest.fixture(params=VARIANTS)
def variant(request):
    """Options of the refiner, and its classes."""
    return VARIANTS[request.param], ClassList(NAMES, known=KNOWN.get(request.param))


def test_output(prior, variant):
    options, classes = variant
    image, coarse = random_case()
    before = coarse.probs.clone()
    refined = make(prior, **options).refine(image, coarse, classes)
    assert torch.equal(coarse.probs, before), 'the input must not change'
    assert refined.probs.dtype == torch.float32
    assert refined.probs.shape == coarse.probs.shape
    assert refined.label_map.dtype == torch.int64
    assert not torch.equal(refined.probs, coarse.probs), 'the refiner did nothing'
    torch.testing.assert_close(refined.probs.sum(0), torch.ones(24, 40))
    changed = (refined.probs != coarse.probs).any(0)
    assert torch.equal(refined.label_map[changed], refined.probs.argmax(0)[changed])
    assert torch.equal(refined.label_map[~changed], coarse.label_map[~changed])


def test_identical_from_run_to_run(prior, variant):
    options, classes = variant
    image, coarse = random_case()
    first = make(prior, **options).refine(image, coarse, classes)
    torch.manual_seed(99)
    second = make(prior, **options).refine(image, coarse, classes)
    assert torch.equal(first.probs, second.probs)
    assert torch.equal(first.label_map, second.label_map)


def test_same_for_any_batch_chunk_and_order(prior, variant):
    options, classes = variant
    cases = [random_case(seed=s, height=20 + 4 * s) for s in range(3)]
    images, coarse = [c[0] for c in cases], [c[1] for c in cases]
    keys = ['a', 'b', 'c']
    alone = [
        make(prior, **options, passes_per_batch=1).refine(i, p, classes, key=k)
        for i, p, k in zip(images, coarse, keys, strict=True)
    ]
    for chunk in (2, 100):
        together = make(prior, **options, passes_per_batch=chunk).refine_batch(
            images[::-1], coarse[::-1], classes, keys=keys[::-1]
        )[::-1]
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one.probs, other.probs, atol=1e-4, rtol=0)


def test_nothing_to_refine(prior, variant):
    options, classes = variant
    image, coarse = random_case()
    for label in (255, -1, len(NAMES)):
        ignored = Prediction(coarse.probs, torch.full_like(coarse.label_map, label))
        refined = make(prior, **options).refine(image, ignored, classes)
        assert torch.equal(refined.probs, ignored.probs)
        assert torch.equal(refined.label_map, ignored.label_map)


def test_one_class_only(prior, variant):
    options, classes = variant
    image, coarse = random_case()
    alone = Prediction(coarse.probs, torch.full_like(coarse.label_map, 3))
    refined = make(prior, **options).refine(image, alone, classes)
    assert torch.isfinite(refined.probs).all()


@pytest.mark.parametrize('size', [(1, 1), (7, 2000)])
def test_extreme_images(prior, variant, size):
    options, classes = variant
    image, coarse = random_case(*size)
    refined = make(prior, **options).refine(image, coarse, classes)
    assert refined.probs.shape == (len(NAMES), *size)
    assert torch.isfinite(refined.probs).all()


def test_certain_predictions_stay(prior, variant):
    options, classes = variant
    image, coarse = random_case()
    certain = Prediction(F.one_hot(coarse.label_map, len(NAMES)).permute(2, 0, 1).float(), coarse.label_map)
    refined = make(prior, **options).refine(image, certain, classes)
    assert torch.equal(refined.probs, certain.probs)
