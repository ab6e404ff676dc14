import pytest
import torch

from mmseg_g4seg import build_refiner
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.base import Refiner
from mmseg_g4seg.refiners.sequential import SequentialRefiner
from tests.conftest import NAMES, random_case


class Sharpen(Refiner):
    """Raises probabilities to a power: what one stage gives, the next can be checked to get."""

    name = 'sharpen'

    def __init__(self, power):
        self.power, self.device = power, None

    def refine_batch(self, images, predictions, classes, *, keys=None):
        powers = [p.probs**self.power for p in predictions]
        return [Prediction(p / p.sum(0), p.argmax(0)) for p in powers]

    def to(self, device):
        self.device = device
        return self


def test_each_refines_what_the_last_one_made():
    image, coarse = random_case()
    chain = SequentialRefiner([Sharpen(2), Sharpen(3)])
    stages = chain.refine_stages([image], [coarse], NAMES)
    assert [stage.name for stage in stages] == ['sharpen', 'sharpen #2']
    for stage, power in zip(stages, (2, 6), strict=True):
        expected = coarse.probs**power
        torch.testing.assert_close(stage.predictions[0].probs, expected / expected.sum(0))
        assert stage.seconds >= 0
    assert torch.equal(chain.refine(image, coarse, NAMES).probs, stages[-1].predictions[0].probs)


def test_moves_every_refiner():
    chain = SequentialRefiner([Sharpen(2), SequentialRefiner([Sharpen(3)])])
    chain.to('cpu')
    assert chain.refiners[0].device == chain.refiners[1].refiners[0].device == 'cpu'


def test_builds_from_configs(prior_folder):
    g4seg = {'type': 'G4SegRefiner', 'prior': str(prior_folder), 'image_size': 32}
    chain = build_refiner({'type': 'SequentialRefiner', 'refiners': [g4seg, Sharpen(2)]})
    image, coarse = random_case()
    assert [stage.name for stage in chain.refine_stages([image], [coarse], NAMES)] == ['G4Seg', 'sharpen']


def test_classes_belong_to_the_chain():
    chain = build_refiner(dict(type='SequentialRefiner', refiners=[Sharpen(2)], classes=dict(background='fish')))
    assert chain.class_options == {'background': 'fish'}
    inner = build_refiner(dict(type='PAMRRefiner', classes=dict(background='fish')))
    with pytest.raises(ValueError, match='classes: expected beside the refiners of a chain, got it in a PAMRRefiner'):
        SequentialRefiner([inner])
    with pytest.raises(ValueError, match=r"refiner.refiners\[0\]: PAMRRefiner has no option 'classes'"):
        build_refiner(dict(type='SequentialRefiner', refiners=[dict(type='PAMRRefiner', classes=dict(background=0))]))


def test_empty_chain():
    with pytest.raises(ValueError, match='at least one'):
        SequentialRefiner([])
