import numpy as np
import pytest
import torch

from mmseg_g4seg import DenseCRFRefiner, build_refiner
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.dense_crf import PRESETS, CRFParameters
from tests.conftest import NAMES, random_case

densecrf = pytest.importorskip('pydensecrf.densecrf')


def by_hand(image, probs, parameters):
    """pydensecrf as its own readme calls it, with all classes in."""
    from pydensecrf.utils import unary_from_softmax

    count, height, width = probs.shape
    field = densecrf.DenseCRF2D(width, height, count)
    field.setUnaryEnergy(np.ascontiguousarray(unary_from_softmax(probs.numpy())))
    field.addPairwiseGaussian(sxy=parameters.gaussian_sxy, compat=parameters.gaussian_compat)
    pixels = np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).numpy())
    field.addPairwiseBilateral(
        sxy=parameters.bilateral_sxy, srgb=parameters.bilateral_srgb, rgbim=pixels, compat=parameters.bilateral_compat
    )
    return torch.from_numpy(np.array(field.inference(parameters.iterations))).view(count, height, width)


@pytest.mark.parametrize('preset', sorted(PRESETS))
def test_identical_to_pydensecrf_by_hand(preset):
    image, coarse = random_case()
    assert len(coarse.label_map.unique()) == len(NAMES)
    refined = build_refiner({'type': 'DenseCRFRefiner', 'preset': preset}).refine(image, coarse, NAMES)
    expected = by_hand(image, coarse.probs, PRESETS[preset])
    torch.testing.assert_close(refined.probs, expected, atol=1e-5, rtol=0)
    assert torch.equal(refined.label_map, expected.argmax(0))
    assert not torch.equal(refined.label_map, coarse.label_map)


def test_only_present_classes_go_in():
    image, coarse = random_case()
    probs = coarse.probs.clone()
    probs[[0, 4]] *= 1e-3
    probs /= probs.sum(0)
    refined = DenseCRFRefiner().refine(image, Prediction(probs, probs.argmax(0)), NAMES)
    kept = probs[1:4] / probs[1:4].sum(0)
    assert torch.equal(refined.label_map, by_hand(image, kept, CRFParameters()).argmax(0) + 1)
    assert refined.probs[[0, 4]].sum() == 0
    torch.testing.assert_close(refined.probs.sum(0), torch.ones(24, 40))


def test_processes_give_the_same():
    cases = [random_case(seed=s) for s in range(3)]
    images, coarse = [c[0] for c in cases], [c[1] for c in cases]
    alone = DenseCRFRefiner().refine_batch(images, coarse, NAMES)
    shared = DenseCRFRefiner(workers=2).refine_batch(images, coarse, NAMES)
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.probs, other.probs)


def test_reduced_resolution():
    image, coarse = random_case(64, 96)
    refined = DenseCRFRefiner(scale=0.5).refine(image, coarse, NAMES)
    assert refined.probs.shape == coarse.probs.shape
    torch.testing.assert_close(refined.probs.sum(0), torch.ones(64, 96))


def test_one_class_and_unlabelled_pixels():
    image, coarse = random_case()
    alone = Prediction(coarse.probs, torch.full_like(coarse.label_map, 3))
    assert DenseCRFRefiner().refine(image, alone, NAMES) is alone
    holes = coarse.label_map.clone()
    holes[:5] = 255
    refined = DenseCRFRefiner().refine(image, Prediction(coarse.probs, holes), NAMES)
    assert (refined.label_map[:5] == 255).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'preset': 'other'}, 'preset'),
        ({'scale': 0.0}, 'scale'),
        ({'workers': -1}, 'workers'),
        ({'memory_limit_mib': 0}, 'memory_limit_mib'),
        ({'bilateral_srgb': 0.0}, 'bilateral_srgb'),
        ({'bilateral_srgb': '5'}, "bilateral_srgb: expected a positive number, got '5'"),
        ({'iterations': 2.5}, 'iterations: expected an integer, got 2.5'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build_refiner({'type': 'DenseCRFRefiner', **options})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'bilateral_srgb': 1e-8}, 'bilateral_srgb: expected at least 0.0467 for an image of 24 x 40, got 1e-08'),
        ({'bilateral_sxy': 1e-3}, 'bilateral_sxy: expected at least'),
        ({'gaussian_sxy': 1e-9}, 'gaussian_sxy: expected at least'),
        ({'bilateral_srgb': float('nan')}, 'bilateral_srgb: expected a positive number'),
        ({'bilateral_compat': 1e39}, 'bilateral_compat: expected a positive number of at most 1e'),
    ],
)
def test_numbers_that_overflow_in_c(options, message):
    """The first ended the process without a word, the last gave NaN."""
    image, coarse = random_case()
    with pytest.raises(ValueError, match=message):
        build_refiner({'type': 'DenseCRFRefiner', **options}).refine(image, coarse, NAMES)


def test_the_narrowest_kernels_that_fit():
    image, coarse = random_case()
    narrow = dict(bilateral_srgb=0.05, bilateral_sxy=0.01, gaussian_sxy=0.005)
    refined = build_refiner({'type': 'DenseCRFRefiner', **narrow}).refine(image, coarse, NAMES)
    torch.testing.assert_close(refined.probs.sum(0), torch.ones(24, 40))


def test_tiles_are_the_whole():
    image, coarse = random_case(70, 90)
    # regions, since the CRF makes one class of noise, and a picture with edges
    coarse = coarse.probs[:, ::10, ::10].repeat_interleave(10, 1).repeat_interleave(10, 2)
    image = (image[:, ::7, ::9].repeat_interleave(7, 1).repeat_interleave(9, 2) + 0.02 * image) / 1.02
    coarse = Prediction(coarse, coarse.argmax(0))
    narrow = dict(type='DenseCRFRefiner', bilateral_sxy=6.0, bilateral_srgb=10.0)
    whole = build_refiner(narrow).refine(image, coarse, NAMES)
    # of 5 classes a pixel takes about a kilobyte: tiles see 40 x 40 pixels, and make the 16 x 16 in the middle
    tiled = build_refiner(dict(narrow, memory_limit_mib=1.6)).refine(image, coarse, NAMES)
    assert not torch.equal(tiled.probs, whole.probs)
    assert (whole.label_map != coarse.label_map).float().mean() > 0.02
    assert (tiled.label_map != whole.label_map).float().mean() < 0.002
    assert (tiled.probs - whole.probs).abs().mean() < 1e-3
