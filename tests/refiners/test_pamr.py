import pytest
import torch

from mmseg_g4seg import PAMRRefiner, build_refiner
from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.prediction import ClassList, Prediction
from tests.conftest import NAMES, random_case


@pytest.mark.parametrize(('preset', 'dilations'), [('pamr', (1, 2, 4, 8, 12, 24)), ('sclip', (8, 16))])
def test_averages_all_classes(preset, dilations):
    image, coarse = random_case()
    refined = build_refiner({'type': 'PAMRRefiner', 'preset': preset}).refine(image, coarse, NAMES)
    torch.testing.assert_close(refined.probs, pixel_adaptive_average(image, coarse.probs, dilations, 10))
    assert torch.equal(refined.label_map, refined.probs.argmax(0))
    assert not torch.equal(refined.label_map, coarse.label_map)


def test_classes_without_probability_cost_nothing_and_stay():
    image, coarse = random_case()
    probs = coarse.probs.clone()
    probs[2] = 0
    refined = PAMRRefiner(2).refine(image, Prediction(probs, probs.argmax(0)), NAMES)
    assert refined.probs[2].sum() == 0
    torch.testing.assert_close(refined.probs, pixel_adaptive_average(image, probs, PAMRRefiner().dilations, 2))


def test_memory_limit_changes_nothing():
    image, coarse = random_case()
    small = PAMRRefiner(memory_limit_mib=0.05).refine(image, coarse, NAMES)
    torch.testing.assert_close(small.probs, PAMRRefiner().refine(image, coarse, NAMES).probs)


def test_unlabelled_pixels_and_background_threshold():
    image, coarse = random_case()
    holes = coarse.label_map.clone()
    holes[:5] = 255
    classes = ClassList(NAMES, background=0, threshold=1.0)
    refined = PAMRRefiner(1).refine(image, Prediction(coarse.probs, holes), classes)
    assert (refined.label_map[:5] == 255).all()
    assert (refined.label_map[5:] == 0).all()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'preset': 'other'}, 'preset'),
        ({'iterations': 0}, 'iterations'),
        ({'dilations': [0]}, 'dilations'),
        ({'memory_limit_mib': 0}, 'memory_limit_mib'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        build_refiner({'type': 'PAMRRefiner', **options})


def test_no_probability_at_all():
    image, coarse = random_case()
    nothing = Prediction(torch.zeros_like(coarse.probs), coarse.label_map)
    assert PAMRRefiner().refine(image, nothing, NAMES) is nothing
