import torch

from mmseg_g4seg import build_refiner
from mmseg_g4seg.prediction import Prediction
from mmseg_g4seg.refiners.fill_void import fills_void


def test_pixels_without_a_label_get_the_most_probable_class():
    probs = torch.tensor([[[0.9, 0.3, 0.2]], [[0.1, 0.7, 0.8]]])
    labels = torch.tensor([[1, 255, -1]])
    filled = build_refiner(dict(type='FillVoid')).refine(torch.zeros(3, 1, 3), Prediction(probs, labels), ['a', 'b'])
    # the first has a label already, against its probabilities: a threshold may have decided so
    assert filled.label_map.tolist() == [[1, 1, 1]]
    assert filled.probs.equal(probs)


def test_chains_are_asked_too():
    fill, other = dict(type='FillVoid'), dict(type='PAMRRefiner')
    chain = dict(type='SequentialRefiner', refiners=[other, fill])
    assert fills_void(build_refiner(fill))
    assert fills_void(build_refiner(chain))
    assert fills_void(build_refiner(dict(type='SequentialRefiner', refiners=[chain, other])))
    assert not fills_void(build_refiner(dict(type='SequentialRefiner', refiners=[other, other])))
