import pytest
import torch

from mmseg_g4seg import PAMRRefiner, build_refiner
from mmseg_g4seg.ops.pixel_affinity import pixel_adaptive_average
from mmseg_g4seg.prediction import ClassList, Prediction
from tests.conftest import NAMES, random_case
from tests.oracle_files import load_oracle


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
        ({'std_factor': 0}, 'std_factor'),
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


def test_width_of_the_kernel():
    image, coarse = random_case()
    default, wide = PAMRRefiner(2), build_refiner(dict(type='PAMRRefiner', iterations=2, std_factor=0.2))
    expected = pixel_adaptive_average(image, coarse.probs, default.dilations, 2, std_factor=0.2)
    torch.testing.assert_close(wide.refine(image, coarse, NAMES).probs, expected)
    plain = pixel_adaptive_average(image, coarse.probs, default.dilations, 2, std_factor=0.1)
    torch.testing.assert_close(default.refine(image, coarse, NAMES).probs, plain)
    assert not torch.allclose(expected, plain, atol=1e-3)


@pytest.mark.parametrize(
    ('name', 'tolerance'), [('clip_8_16_x10', 1e-5), ('seediff_x50', 2e-5), ('seediff_x500', 1e-4)]
)
def test_equals_the_authors_code(name, tolerance):
    arrays, meta = load_oracle('pamr')
    settings = meta[name]
    maps = pixel_adaptive_average(
        arrays['in_image'].float(),
        arrays['in_mask'],
        settings['dilations'],
        settings['iterations'],
        std_factor=settings['std_factor'],
    )
    torch.testing.assert_close(maps, arrays[f'out_{name}'], atol=tolerance, rtol=0)
