"""The likelihood update with one decision a region."""

import pytest
import torch

from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.build import build_refiner
from mmseg_g4seg.refiners.g4seg.superpixels import Superpixels
from tests.conftest import IMAGE_SIZE, NAMES
from tests.refiners.g4seg.making import asking


def test_a_region_changes_as_one(prior):
    image = torch.zeros(3, IMAGE_SIZE, IMAGE_SIZE)
    image[:, :, 13:] = 1.0
    probs = torch.full((5, IMAGE_SIZE, IMAGE_SIZE), 0.2)
    label_map = torch.arange(IMAGE_SIZE)[:, None].expand(-1, IMAGE_SIZE) * 5 // IMAGE_SIZE
    coarse = Prediction(probs, label_map)
    # regions far larger than the image: what is left of them is its two colours, or one
    whole = Superpixels(cells=1000.0)
    refined = asking(prior, smoothing=whole, uncertain_below=1.0).refine(image, coarse, NAMES).probs
    torch.testing.assert_close(refined, refined[:, :1, :1].expand_as(refined))
    parts = asking(prior, smoothing=Superpixels(cells=2.0), uncertain_below=1.0).refine(image, coarse, NAMES).probs
    assert len(parts[0].unique()) > 1
    assert not torch.allclose(parts, probs, atol=1e-3)


def test_a_config_names_it():
    update = dict(type='LikelihoodUpdate', smoothing=dict(type='Superpixels', cells=4))
    refiner = build_refiner(dict(type='G4SegRefiner', prior='tiny', image_size=32, update=update))
    assert refiner.update.smoothing.cells == 4


@pytest.mark.parametrize(
    ('options', 'message'),
    [({'cells': 0.5}, 'cells: expected a finite number of at least 1'), ({'compactness': 0}, 'compactness: expected')],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Superpixels(**options)
